package trial

import (
	"errors"
	"strings"

	"github.com/vidi-vision/vidi/service/backend"
	"github.com/vidi-vision/vidi/service/engine"
	"github.com/vidi-vision/vidi/service/model"
)

const (
	adviceShape = "A classifier takes 1 × 3 × height × width and gives 1 × classes. Export one that ends in its last linear layer."
	adviceOne   = `Return the logits alone, and trace that:
    import torch
    class Logits(torch.nn.Module):
        def __init__(self, net):
            super().__init__()
            self.net = net
        def forward(self, x):
            output = self.net(x)           # a tuple, or a dictionary: Hugging Face's has "logits", torchvision's "out"
            return output[0] if isinstance(output, (tuple, list)) else output["logits"]
    model = Logits(model)
    torch.jit.trace(model.eval(), torch.rand(1, 3, 224, 224)).save("model.pt")`
	adviceNumbers = "Return the logits themselves, before argmax, rounding, or a cast to integers."
	adviceFinite  = "The weights hold NaN or infinity (the training failed), or the network overflows or divides by zero. Check in Python with\n" +
		"torch.isfinite(model(x)).all(), and export the last good state."
	adviceHalf = "Its weights are in 16 bits. Export it in 32: model.float() before torch.jit.trace; `--precision bf16` halves them again when it runs."
	adviceCUDA = "It was exported on a GPU. Export it on the CPU: model.cpu() and a CPU input for torch.jit.trace."
)

// adviceFor is what the owner of a network that failed like this can do.
func adviceFor(err error, origin model.Origin) string {
	var output *engine.OutputError
	switch {
	case errors.As(err, &output) && output.DType:
		return adviceNumbers
	case errors.As(err, &output):
		return adviceShape
	case errors.Is(err, backend.BadModel) && strings.Contains(err.Error(), "the model returned"):
		return adviceOne
	case errors.Is(err, backend.OutOfMemory):
		return "A classifier of that size needs less: export the network alone, without what only training needs. What a process may have is --memory."
	case origin.CUDA:
		return adviceCUDA
	case origin.Half:
		return adviceHalf
	case errors.Is(err, backend.BadModel):
		return "It was written by " + origin.String() + ". Most files of newer PyTorch versions are read, but this one uses what this libtorch (2.7) has not.\n" +
			"Export it again; if that does not help, with a PyTorch up to 2.7:  torch.jit.trace(model.eval(), torch.rand(1, 3, 224, 224)).save(\"model.pt\")"
	}
	return "If it was trained for another size, use --crop. See that it runs in Python: torch.jit.load(\"model.pt\")(torch.rand(1, 3, 224, 224))"
}
