"""The peers' models, made from the very file that vidi serves: ONNX from the traced module, and int8 from that by NNCF.

    peer_models.py onnx MODEL.pt OUT.onnx       needs torch
    peer_models.py int8 MODEL.onnx OUT.xml      needs nncf, and that torch is not there

The two are separate processes because NNCF imports whatever torch it finds, and does not know one as old as Debian's.
"""

import io
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(Path(__file__).resolve().parent))


def to_onnx(model: Path, out: Path) -> None:
    import torch

    module = torch.jit.load(str(model), map_location="cpu").eval()
    # The number of pictures is left open, for batching.
    free = {"input": {0: "n"}, "logits": {0: "n"}}
    torch.onnx.export(
        module, torch.zeros(1, 3, 224, 224), str(out), input_names=["input"], output_names=["logits"], dynamic_axes=free, opset_version=13
    )


def to_int8(model: Path, out: Path) -> None:
    """Post-training quantisation with NNCF's defaults for convolutional networks, calibrated on the repository's photographs."""
    sys.modules["torch"] = None
    import nncf
    import openvino as ov

    from peers import preprocess

    crops = [preprocess.normalised(preprocess.crop_of(body)[None]) for body in calibration_pictures()]
    quantised = nncf.quantize(ov.Core().read_model(model), nncf.Dataset(crops), subset_size=len(crops))
    ov.save_model(quantised, out)


def calibration_pictures() -> list[bytes]:
    """Each photograph whole and its four quarters: what a histogram wants is variety."""
    from PIL import Image

    bodies = []
    for path in sorted((ROOT / "examples").glob("*.[jp][pn]g")):
        with Image.open(path) as image:
            photo = image.convert("RGB")
        w, h = photo.size
        quarters = [photo.crop((x, y, x + w // 2, y + h // 2)) for x in (0, w // 2) for y in (0, h // 2)]
        for picture in (photo, *quarters):
            file = io.BytesIO()
            picture.save(file, "PNG")
            bodies.append(file.getvalue())
    return bodies


if __name__ == "__main__":
    {"onnx": to_onnx, "int8": to_int8}[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
