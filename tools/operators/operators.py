"""Writes service/operators/allowed.txt and refused.txt: which operators of libtorch a TorchScript file may use.

    python3 tools/operators/operators.py --libtorch DIR [--check]

DIR is an unpacked libtorch (third_party/fetch-libtorch.sh prints where one is). Every operator that it registers gets into one of
the two files, by the rules below. --check writes nothing, and fails if the files differ from what it would write.

An operator may be used if it computes on the values that it is given, and on nothing else: no file, process, network or output, no
setting of the process, no address, no other device than the CPU, no storage that is not its own. What no rule allows is refused:
an operator whose name begins with an underscore must be named here.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "service" / "operators"

# Names and reasons; the first pattern that fits a whole name decides.
REFUSED = [
    (r"aten::(save|from_file)", "reads or writes files"),
    (r"(prim|aten)::(Print|_print)", "prints"),
    (r"aten::(manual_seed|seed|initial_seed|Generator)", "reads or sets the state of the process's random numbers"),
    (r"aten::(_autocast_.*|_cufft_.*)", "reads or changes a setting of the process"),
    (r"aten::record_stream|prim::(awaitable.*|TimePoint|MM.*)", "reads clocks, or starts what nobody waits for"),
    (r"prim::id|aten::(hash|_get_cpu_capability)", "shows addresses or the machine"),
    (r"aten::(set_?|set_data|resize.*|_resize.*|_.*storage.*|_lazy_clone|_efficientzerotensor)", "reaches the storage of tensors"),
    (r"aten::(_?empty_.*quantized|_empty_.*|empty_quantized)", "gives memory that holds what was there before"),
    (r"aten::(.*_)?backward(_.*)?|aten::.*(_backward|_double_backward|_grad|_backward_data|_jvp)|aten::retains?_grad|prim::(Autograd.*|.*Grad.*)",
     "computes gradients"),
    (r"aten::(_amp|_fused_(sgd|ada)).*", "trains"),
    (r".*(sparse|_csr|_csc|_bsr|_bsc|cslt|_coalesced?_?|row_indices|col_indices|spdiags|spsolve).*|aten::(_indices|_values|_nnz|_dim[IV]|s?smm|sspaddmm|hspmm)(_copy)?",
     "makes tensors that are not dense, whose indices nothing checks"),
    (r".*(cudnn|miopen|mps|vulkan|xla|nnpack|mkldnn|onednn|oneDNN|fbgemm|triton|flash_attention(_forward)?|efficient_attention|cudnn_attention).*",
     "belongs to another device, or to one library"),
    (r"aten::(lu_solve|linalg_lu_solve|linalg_ldl_solve|ormqr|segment_reduce|fractional_max_pool.d|ctc_loss|multi.*margin_loss.*|_?pack_padded_sequence|_pad_packed_sequence|is_vulkan_available|infinitely_differentiable_gelu|_.*unsafe_index.*)",
     "trusts indices that it is given"),
    (r"aten::(fused_moving_avg_obs_fake_quant|native_batch_norm|batch_norm_(update_stats|stats|elemt|gather_.*)|quantized_.*_cell)",
     "trusts sizes that it is given"),
    (r"aten::(ljust|rjust|center|zfill|expandtabs)", "makes texts of any length"),
    (r"aten::(is_distributed|get_gradients|_debug.*|_test.*|_foobar|has_torch_function|is_set_to|_version|output_nr)", "is for PyTorch's own use"),
]  # fmt: skip

# Names that begin with an underscore and are written into files by exporters.
INTERNAL = set(
    """__and__ __contains__ __derive_index __getitem__ __iand__ __ilshift__ __interpolate __ior__ __irshift__ __is__ __isnot__ __ixor__
    __lshift__ __not__ __or__ __range_length __round_to_zero_floordiv __rshift__ __upsample __upsample_bilinear __upsample_nearest __xor__
    _adaptive_avg_pool2d _adaptive_avg_pool3d _add_relu _add_relu_ _addmm_activation _aminmax _assert_async _assert_scalar
    _assert_tensor_metadata _batch_norm_impl_index _cast_Byte _cast_Char _cast_Double _cast_Float _cast_Half _cast_Int _cast_Long
    _cast_Short _choose_qparams_per_tensor _conj _conj_physical _convolution _convolution_mode _dim_arange _euclidean_dist
    _fake_quantize_learnable_per_channel_affine _fake_quantize_learnable_per_tensor_affine _fft_c2c _fft_c2r _fft_r2c _get_tracing_state
    _infer_size _int_mm _is_all_true _is_any_true _linalg_check_errors _linalg_det _linalg_eigh _linalg_eigvals _linalg_slogdet
    _linalg_solve_ex _linalg_svd _list_to_tensor _local_scalar_dense _log_softmax _masked_softmax     _native_multi_head_attention _neg_view _nested_from_padded _nested_tensor_from_mask
    _nested_tensor_from_mask_left_aligned _no_grad_fill_ _no_grad_normal_ _no_grad_uniform_ _no_grad_zero_ _pad_circular _pad_enum
    _prelu_kernel _reshape_copy _reshape_from_tensor _safe_softmax _saturate_weight_to_fp16
    _scaled_dot_product_attention_math _set_item _shape_as_tensor _size_if_not_equal
    _softmax _stack _tensor_to_list _to_copy _transformer_encoder_layer_fwd _trilinear _unique _unique2
    _unsafe_view _unwrap_optional _upsample_bicubic2d_aa _upsample_bilinear2d_aa _upsample_nearest_exact1d _upsample_nearest_exact2d
    _upsample_nearest_exact3d _weight_norm """.split()
)

# Of prim, what exporters write; the rest is made by libtorch's own passes.
PRIM = set(
    """ConstantChunk EnumName EnumValue NumToTensor RaiseException StringIndex TupleIndex TupleUnpack Uninitialized abs data device dtype
    grad index is_cpu is_cuda is_ipu is_maia is_meta is_mkldnn is_mps is_mtia is_nested is_quantized is_sparse is_sparse_csr is_vulkan is_xla
    is_xpu itemsize layout max min name nbytes rangelist requires_grad tolist type unchecked_cast unchecked_unwrap_optional""".split()
)
# Of quantized, what has weights of another kind, with offsets into them, or is given its packed weights as raw values.
QUANTIZED_REFUSED = r"quantized::(embedding.*|make_quantized_cell.*|quantized_.*_cell.*|int4mm.*|.*_legacy|linear_with_input.*|.*_out)"


def verdict(name: str, schemas: list[str]) -> str:
    """Why an operator is refused, or ""."""
    namespace, base = name.split("::")
    if namespace == "prim":
        why = next((why for pattern, why in REFUSED[:6] if re.fullmatch(pattern, name)), "")
        return why or ("" if base in PRIM else "is made by libtorch's own passes")
    if namespace == "quantized":
        return "takes packed weights whose offsets nothing checks" if re.fullmatch(QUANTIZED_REFUSED, name) else ""
    if namespace != "aten":
        return "is none of PyTorch's tensor operators"
    if base in INTERNAL or base == "wait":  # for what `fork` began, on libtorch's own threads
        return ""
    for pattern, why in REFUSED:
        if re.fullmatch(pattern, name):
            return why
    if base.startswith("_") and not base.startswith("_foreach"):
        return "is internal to PyTorch"
    for word in (word for schema in schemas for word in re.findall(r"__torch__[\w.]+|\b(?:Storage|Stream|Future|RRef|Capsule|PyObject)\b", schema)):
        return f"takes or gives a {word}"
    return ""


def registered(libtorch: Path) -> dict[str, list[str]]:
    """The schemas of every operator, by its name without the overload's."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "schemas"
        include = libtorch / "include"
        subprocess.run(
            ["c++", "-std=c++17", f"-I{include}", f"-I{include}/torch/csrc/api/include", str(Path(__file__).with_name("schemas.cc")),
             "-o", str(program), f"-L{libtorch}/lib", "-ltorch", "-ltorch_cpu", "-lc10", f"-Wl,-rpath,{libtorch}/lib"],
            check=True,
        )  # fmt: skip
        lines = subprocess.run([str(program)], check=True, capture_output=True, text=True).stdout.splitlines()
    found: dict[str, list[str]] = {}
    for line in lines:
        found.setdefault(re.match(r"\w+::\w+", line).group(), []).append(line)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--libtorch", type=Path, required=True)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    allowed, refused = [], []
    for name, schemas in sorted(registered(arguments.libtorch).items()):
        why = verdict(name, schemas)
        if why:
            refused.append(f"{name}\t{why}")
        else:
            allowed.append(name)
    stale = False
    for file, lines in (("allowed.txt", allowed), ("refused.txt", refused)):
        text = "\n".join(lines) + "\n"
        if arguments.check:
            stale |= (OUT / file).read_text() != text
        else:
            (OUT / file).write_text(text)
    print(f"{len(allowed)} allowed, {len(refused)} refused")
    if stale:
        print("service/operators is not what the rules say: run this without --check", file=sys.stderr)
    return int(stale)


if __name__ == "__main__":
    sys.exit(main())
