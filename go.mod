module github.com/vidi-vision/vidi

go 1.25
