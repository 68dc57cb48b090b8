module github.com/vidi-vision/vidi/torchbind/gotorch

go 1.26.0

require (
	github.com/vidi-vision/vidi v0.0.0
	github.com/wangkuiyi/gotorch v0.0.0
)

replace github.com/vidi-vision/vidi => ../..
