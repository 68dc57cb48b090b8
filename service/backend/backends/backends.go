// Package backends names the libraries that this program runs models with.
package backends

import (
	"github.com/vidi-vision/vidi/service/backend"
	"github.com/vidi-vision/vidi/service/backend/libtorch"
)

// All are the backends, in the order in which they are asked whether they read a file.
func All() []backend.Backend { return []backend.Backend{libtorch.Backend{}} }
