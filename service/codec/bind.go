package codec

// The border to C: the only file with import "C". Functions here translate types, copy texts, and turn
// statuses into errors; they hold no policy. Pointers to Go memory are passed for the time of one call
// only, which cgo pins, or pinned by the caller.

/*
#cgo CFLAGS: -I${SRCDIR}/../../cgo/image -I${SRCDIR}/../../cgo/status -I${SRCDIR}/../../cgo/native -std=c11
#include "calls.h"
#include "loader.h"
*/
import "C"

import (
	"fmt"
	"runtime"
	"time"
	"unsafe"

	"github.com/vidi-vision/vidi/cgo/cthread"
)

// open opens the library, and returns libjpeg-turbo's version. It must succeed before any other function
// of this file is called.
func open(path string) (jpegVersion string, err error) {
	if err := library.Open(path, unsafe.Pointer(C.vi_functions())); err != nil {
		return "", err
	}
	var about C.vi_library
	C.vi_describe(&about)
	v := int(about.jpeg_version)
	return fmt.Sprintf("%d.%d.%d", v/1000000, v/1000%1000, v%1000), library.CheckVersion(int(about.abi_version), C.VI_ABI_VERSION)
}

func liveStatuses() int64 { return int64(C.vi_live_statuses()) }

func check(op string, status *C.vidi_status) error {
	return library.Check(op, "", unsafe.Pointer(status))
}

// bytesPointer is the address of b's first byte, or nil; cgo may not be handed &b[0] of an empty slice.
func bytesPointer(b []byte) *C.uint8_t { return (*C.uint8_t)(unsafe.SliceData(b)) }

// pin holds a picture's bytes in place, neither of them empty: C reads and writes them after the call that begins it has returned.
func pin(data, dst []byte) *runtime.Pinner {
	pinned := new(runtime.Pinner)
	pinned.Pin(&data[0])
	pinned.Pin(&dst[0])
	return pinned
}

func jpegProbe(data []byte) (JPEGInfo, error) {
	var info C.vi_jpeg_info
	if err := check("probe JPEG", C.vi_jpeg_probe(bytesPointer(data), C.size_t(len(data)), &info)); err != nil {
		return JPEGInfo{}, err
	}
	return JPEGInfo{
		Width:        int(info.width),
		Height:       int(info.height),
		Colors:       JPEGColors(info.colors),
		Progressive:  info.progressive != 0,
		DecoderBytes: int64(info.decoder_bytes),
	}, nil
}

func jpegLimits(o JPEGOptions) C.vi_jpeg_limits {
	return C.vi_jpeg_limits{
		max_pixels:        C.int64_t(o.MaxPixels),
		max_scan_pixels:   C.int64_t(o.MaxScanPixels),
		max_decoder_bytes: C.int64_t(o.MaxDecoderBytes),
		max_cpu_ms:        milliseconds(o.MaxCPU),
	}
}

func jpegReport(r *C.vi_jpeg_report) JPEGReport {
	return JPEGReport{Warnings: int(r.warnings), FirstWarning: C.GoString(&r.first_warning[0]), ResizeTime: time.Duration(r.resize_ns)}
}

func jpegDecode(data []byte, o JPEGOptions, dst []byte, stride int) (JPEGReport, error) {
	limits := jpegLimits(o)
	var report C.vi_jpeg_report
	err := check("decode JPEG", C.vi_jpeg_decode(bytesPointer(data), C.size_t(len(data)), &limits, C.int32_t(o.Scale.eighths()), bytesPointer(dst), C.size_t(stride),
		C.size_t(len(dst)), &report))
	if err != nil {
		return JPEGReport{}, err
	}
	return jpegReport(&report), nil
}

// jpegResize decodes on thread, or if that is nil on the caller's.
func jpegResize(thread *cthread.Thread, data []byte, o JPEGOptions, r Resize, dst []byte) (JPEGReport, error) {
	defer pin(data, dst).Unpin()
	call := &C.vi_jpeg_call{data: bytesPointer(data), size: C.size_t(len(data)), limits: jpegLimits(o), eighths: C.int32_t(o.Scale.eighths()),
		resize: resizeSpec(r), dst: bytesPointer(dst), dst_bytes: C.size_t(len(dst))}
	if thread != nil {
		thread.Run(unsafe.Pointer(C.vi_call_jpeg), unsafe.Pointer(call))
	} else {
		C.vi_call_jpeg(unsafe.Pointer(call))
	}
	if err := check(opResizeJPEG, call.status); err != nil {
		return JPEGReport{}, err
	}
	return jpegReport(&call.report), nil
}

func resizeSpec(r Resize) C.vi_resize {
	return C.vi_resize{
		width:       C.int64_t(r.Width),
		height:      C.int64_t(r.Height),
		crop_x:      C.int64_t(r.Crop.Min.X),
		crop_y:      C.int64_t(r.Crop.Min.Y),
		crop_width:  C.int64_t(r.Crop.Dx()),
		crop_height: C.int64_t(r.Crop.Dy()),
		filter:      C.int32_t(r.Filter),
		orientation: C.int32_t(min(max(r.Orientation, -1), 9)),
		box:         C.vi_box{x0: C.double(r.Box.X0), y0: C.double(r.Box.Y0), x1: C.double(r.Box.X1), y1: C.double(r.Box.Y1)},
	}
}

// pngResize decodes on thread, or if that is nil on the caller's.
func pngResize(thread *cthread.Thread, data []byte, o PNGOptions, r Resize, dst []byte) (resizeTime time.Duration, err error) {
	defer pin(data, dst).Unpin()
	call := &C.vi_png_call{data: bytesPointer(data), size: C.size_t(len(data)), max_pixels: C.int64_t(o.MaxPixels), max_cpu_ms: milliseconds(o.MaxCPU),
		resize: resizeSpec(r), dst: bytesPointer(dst), dst_bytes: C.size_t(len(dst))}
	if thread != nil {
		thread.Run(unsafe.Pointer(C.vi_call_png), unsafe.Pointer(call))
	} else {
		C.vi_call_png(unsafe.Pointer(call))
	}
	return time.Duration(call.resize_ns), check(opResizePNG, call.status)
}

func imageResize(pixels []byte, width, height, stride int, r Resize, dst []byte) error {
	spec := resizeSpec(r)
	return check("resize", C.vi_image_resize(bytesPointer(pixels), C.int64_t(width), C.int64_t(height), C.size_t(stride), &spec,
		bytesPointer(dst), C.size_t(len(dst))))
}

// milliseconds rounds up, so that no limit becomes none.
func milliseconds(d time.Duration) C.int64_t {
	return C.int64_t((d + time.Millisecond - 1) / time.Millisecond)
}
