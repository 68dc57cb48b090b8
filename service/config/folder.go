package config

import "github.com/vidi-vision/vidi/service/model"

// Folder is the settings of commands that take models out of a folder.
type Folder struct {
	Models string   `help:"Folder of models." default:"${models}" env:"VIDI_MODELS" type:"path" placeholder:"DIR"`
	Trust  []Digest `help:"SHA-256 of a model file that may use operators which are not on the list, as the refusal says; repeatable. It is a program: trust who made it." env:"VIDI_TRUST" placeholder:"SHA256" sep:","`
}

// Trusted is the files whose digests are named. Nothing in the folder adds to them: who can write a model there is not who may trust it.
func (f Folder) Trusted() model.Trust {
	var trust model.Trust
	for _, digest := range f.Trust {
		trust.SHA256 = append(trust.SHA256, string(digest))
	}
	return trust
}
