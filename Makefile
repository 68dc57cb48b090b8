# vidi's tasks. `make run` and `make test` set up everything they need first; a second run only does what has changed.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

MODELS ?= $(or $(VIDI_MODELS),$(or $(XDG_DATA_HOME),$(HOME)/.local/share)/vidi/models)
PYTHON := build/venv/bin/python
BENCH_PYTHON := build/bench-venv/bin/python
SCHEMA_PYTHON := build/schema-venv/bin/python
DEPLOY_PYTHON := build/deploy-venv/bin/python
NETWORKS_PYTHON := build/networks-venv/bin/python
HELM := helm.sh/helm/v4/cmd/helm@v4.3.1
GOMOD := github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0
JOBS := $(shell nproc)

# Debian's names; Ubuntu has the same. python3-torch traces the models and is the reference that answers are held against.
PACKAGES := ca-certificates cmake curl g++ git libjpeg-dev libpng-dev ninja-build python3 python3-pip python3-venv unzip python3-torch python3-torchvision
# The page is tested in a real browser; the fonts are for its Chinese. Ubuntu has Chromium as a snap only: where some other
# build of it is installed nothing more is asked for.
BROWSER_PACKAGES := $(if $(shell command -v chromium chromium-browser google-chrome),,chromium) fonts-noto-cjk fonts-noto-color-emoji
TEST_PACKAGES := $(PACKAGES) clang-format iproute2 libgtest-dev libjpeg-turbo-progs shellcheck wordnet-base $(BROWSER_PACKAGES)
BENCH_PACKAGES := $(PACKAGES) wrk

.PHONY: help
help: ## list the tasks
	@echo "vidi tells what is in a picture, on your own machine. Tasks:"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 24

.PHONY: run
run: packages vidi model ## set everything up, classify the sample photographs, then serve on 127.0.0.1:5000
	@bin/vidi classify examples --models "$(MODELS)"
	@echo "Starting the server; Ctrl-C stops it. In another terminal, try:"
	@echo "    curl -F image=@examples/espresso.png http://127.0.0.1:5000/predict"
	@exec bin/vidi serve --models "$(MODELS)"

.PHONY: test
test: test-packages vidi model test-models lint test-setup test-cpp test-python test-go test-clients test-schema test-deploy ## set everything up, then run every test
	@echo "All tests passed."

.PHONY: packages
packages: ## install the system packages that are missing (apt)
	@third_party/system-packages.sh $(PACKAGES)

.PHONY: test-packages
test-packages:
	@third_party/system-packages.sh $(PACKAGES) $(TEST_PACKAGES)

# The libraries, and a link to libtorch, lie in bin/lib, where bin/vidi and the tests look for them. Each file is replaced in one
# step, so that a running server keeps the one it has open.
.PHONY: shim
shim: ## build the C++ side, bin/lib/libtorchbind.so and libvidiimage.so; fetches libtorch first if need be
	@mkdir -p build bin/lib
	@libtorch=$$(third_party/fetch-libtorch.sh); \
	cmake -G Ninja -S . -B build/shim -DLIBTORCH="$$libtorch" >build/shim.log 2>&1 || { cat build/shim.log; exit 1; }; \
	cmake --build build/shim -j $(JOBS) | { grep -v 'no work to do' || true; }; \
	for f in libvidiimage.so libtorchbind.so; do \
	  cmp -s build/shim/$$f bin/lib/$$f || { cp build/shim/$$f bin/lib/.new && mv bin/lib/.new bin/lib/$$f; }; \
	done; \
	ln -sfn "$$libtorch/lib" bin/lib/libtorch

.PHONY: vidi
vidi: shim ## build bin/vidi
	@go=$$(third_party/find-go.sh); with=$$(third_party/built-with.sh "$$(realpath bin/lib/libtorch/..)"); \
	"$$go" build -ldflags "-X 'main.builtWith=$$with'" -o bin/vidi ./service/cmd/vidi

.PHONY: python
python: $(PYTHON) ## make the Python environment, build/venv (uses the system's torch)

# Made afresh when the requirements change. --system-site-packages lets in python3-torch and python3-torchvision.
$(PYTHON): tools/requirements.txt
	@rm -rf build/venv && mkdir -p build && /usr/bin/python3 -m venv --system-site-packages build/venv
	@echo "python: installing tools/requirements.txt"
	@build/venv/bin/pip install -q --no-deps --require-hashes -r tools/requirements.txt || { rm -rf build/venv; exit 1; }
	@touch $@

.PHONY: model
model: python ## make a real model: official ResNet-18 where its weights can be fetched, else EfficientNet-Lite0
	@mkdir -p "$(MODELS)"
	@$(PYTHON) tools/export/export.py auto --out "$(MODELS)"

.PHONY: test-models
test-models: python
	@mkdir -p build/models build/fixtures build/zoo
	@$(PYTHON) tools/export/export.py efficientnet-lite0 --out build/models
	@$(PYTHON) tools/export/export.py efficientnet-lite0 --int8 --out build/models
	@$(PYTHON) tools/export/export.py resnet18-seeded --out build/models
	@$(PYTHON) tools/export/export.py mobilenet-v3-small-seeded --out build/zoo
	@$(PYTHON) tools/export/export.py efficientnet-b0-seeded --out build/zoo
	@$(PYTHON) tools/export/fixtures.py --out build/fixtures
	@$(PYTHON) tools/export/hostile_models.py --out build/fixtures

.PHONY: test-axe
test-axe: build/axe

# axe-core, which the tests of the page ask what keeps people out.
build/axe: service/e2e/testdata/axe.txt | $(PYTHON)
	@rm -rf build/axe && mkdir -p build/axe
	@$(PYTHON) -m pip download -q --no-deps --require-hashes -r $< -d build/axe || { rm -rf build/axe; exit 1; }
	@touch $@

# Prometheus, and its own checker, for what lies in deploy/. Only these programs are taken out of Debian's package: installing it
# would start a Prometheus server on this machine.
build/prometheus:
	@rm -rf $@.part && mkdir -p $@.part
	@(cd $@.part && apt-get download -qq prometheus && dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x --strip-components 3 ./usr/bin/prometheus ./usr/bin/promtool && rm prometheus_*.deb) 2>$@.log \
	  && mv $@.part $@ || { cat $@.log; rm -rf $@.part; echo "prometheus: not fetched, so deploy/ is tested without it"; }

# timm, whose networks a test adds. Made afresh when the requirements change, like build/venv.
$(NETWORKS_PYTHON): tools/networks/requirements.txt
	@rm -rf build/networks-venv && mkdir -p build && /usr/bin/python3 -m venv --system-site-packages build/networks-venv
	@build/networks-venv/bin/pip install -q --disable-pip-version-check --no-deps --require-hashes -r tools/networks/requirements.txt || { rm -rf build/networks-venv; exit 1; }
	@touch $@

# Debian's torch multiplies matrices with the BLAS that it finds, which is ten times slower than this one. Installing it would change
# what every other program here computes with.
build/openblas:
	@rm -rf $@.part && mkdir -p $@.part/all
	@(cd $@.part/all && apt-get download -qq libopenblas0-pthread libgfortran5 libquadmath0 && for p in *.deb; do dpkg-deb -x "$$p" .; done \
	  && find . -name 'lib*.so*' -exec mv -t .. {} + && cd .. && rm -rf all) 2>$@.log \
	  && mv $@.part $@ || { cat $@.log; rm -rf $@.part; echo "openblas: not fetched, so the networks of transformers take Python minutes each"; }

.PHONY: lint
lint: ## formatting and static checks
	@tools/lint.sh

.PHONY: test-setup
test-setup: ## what can go wrong while libtorch, Go and the packages are fetched; no network
	@third_party/test-setup.sh

.PHONY: test-cpp
test-cpp: shim ## GoogleTest of both libraries under AddressSanitizer and UBSan
	@libtorch=$$(third_party/fetch-libtorch.sh); \
	cmake -G Ninja -S . -B build/shim-test -DTB_TESTS=ON -DTB_SANITIZE=ON -DLIBTORCH="$$libtorch" >build/shim-test.log 2>&1 || { cat build/shim-test.log; exit 1; }; \
	cmake --build build/shim-test -j $(JOBS) | { grep -v 'no work to do' || true; }
	@ctest --test-dir build/shim-test --output-on-failure

.PHONY: test-jpeg
test-jpeg: test-cpp ## 5,400 large JPEG files streamed and decoded as a whole, 208 beside Pillow (make test takes 108 and 8): an hour
	@VIDI_JPEG=all build/shim-test/image_test --gtest_filter='*JpegLarge*'
	@go=$$(third_party/find-go.sh); CI=true VIDI_JPEG=all "$$go" test -count=1 -timeout 60m -v -run TestLargeJPEG ./service/preprocess | grep -v '^=== '

# What is skipped elsewhere for want of a tool or of VIDI_SHARED is a failure here. The last line is the control: the bound that
# the soak holds must see a leak.
.PHONY: test-hostile
test-hostile: vidi test-models ## hostile pictures and requests, all of them, through the real server (needs VIDI_SHARED; half an hour)
	@go=$$(third_party/find-go.sh); export CI=true VIDI_HOSTILE=all VIDI_STOPS=20; \
	"$$go" test -count=1 -timeout 90m -v -run 'Hostile|Bombs|Slow|Chunks|RawRequests|ReadinessIsTrue|Orientations|Descriptors|Anothers|NoFile|Libraries|StopUnderLoad|Flood' \
	  -bench 'Overload|SlowConnections' -benchtime 1x ./service/e2e | grep -v '^=== '; \
	$(PYTHON) tools/soak.py --requests 20000; \
	"$$go" test -count=1 -v -run 'TestMemoryStaysFlat|TestMemoryBoundSeesALeak' ./torchbind | grep -v '^=== '

# FUZZ is how many minutes of CPU time are spent, shared out by risk: `make fuzz FUZZ=60`.
FUZZ ?= 10
FUZZ_PACKAGES := $(PACKAGES) clang-14 libclang-rt-14-dev

.PHONY: fuzz
fuzz: test-models ## fuzz the Go parsers, FUZZ=10 CPU minutes in all
	@tools/fuzz.sh $(FUZZ) go

.PHONY: fuzz-shim
fuzz-shim: ## fuzz the decoding of JPEG and PNG with libFuzzer under the sanitizers, FUZZ=10 CPU minutes
	@third_party/system-packages.sh $(FUZZ_PACKAGES)
	@cmake -G Ninja -S . -B build/shim-fuzz -DTB_FUZZ=ON -DCMAKE_CXX_COMPILER=clang++-14 >build/shim-fuzz.log 2>&1 || { cat build/shim-fuzz.log; exit 1; }; \
	cmake --build build/shim-fuzz -j $(JOBS) | { grep -v 'no work to do' || true; }
	@tools/fuzz.sh $(FUZZ) shim

.PHONY: test-python
test-python: python
	@$(PYTHON) -m unittest discover -s tools/tests

.PHONY: test-go
test-go: vidi test-models test-axe build/prometheus build/openblas $(NETWORKS_PYTHON) ## Go tests, with the real libtorch, models and Python reference
	@tools/test-go.sh

# Installed as a user would, into an environment of its own: what is tested is the package, not the folder.
.PHONY: test-clients
test-clients: vidi test-models ## the Python client, installed by pip, against the real server (the Go client's tests are among Go's)
	@rm -rf build/client-venv && /usr/bin/python3 -m venv build/client-venv
	@build/client-venv/bin/pip install -q --disable-pip-version-check ./service/api/python
	@rm -rf service/api/python/build service/api/python/*.egg-info
	@cd service/api/python/tests && "$(CURDIR)/build/client-venv/bin/python" -m unittest

.PHONY: test-models-hostile
test-models-hostile: vidi test-models ## 1,000 damaged model files: each refused with a reason, none may end who looks at it (10 minutes)
	@go=$$(third_party/find-go.sh); VIDI_MUTANTS=1000 "$$go" test -count=1 -v -timeout 60m -run TestMutants ./service/trial

# gotorch is a module of its own, which needs a clone of the user's. The workspace file names it, so that no go.mod changes.
.PHONY: test-gotorch
test-gotorch: vidi test-models ## tensors to and from gotorch: GOTORCH=DIR is a clone of it, built as torchbind/gotorch/README.md says
	@test -f "$(GOTORCH)/cgotorch/libcgotorch.so" || { echo "test-gotorch: GOTORCH=$(GOTORCH) is no clone of gotorch with its C++ side built; torchbind/gotorch/README.md says how"; exit 1; }
	@mkdir -p build
	@printf 'go 1.26.0\nuse (\n\t..\n\t../torchbind/gotorch\n)\nreplace github.com/wangkuiyi/gotorch => %s\n' "$(abspath $(GOTORCH))" >build/gotorch.work
	@go=$$(third_party/find-go.sh); cd torchbind/gotorch && export GOWORK="$(CURDIR)/build/gotorch.work"; "$$go" test -count=1 ./... && "$$go" run ./example ../../build/models/resnet18-seeded.pt

# SCHEMA is handed on: `make test-schema SCHEMA=--long`.
.PHONY: test-schema
test-schema: vidi test-models $(SCHEMA_PYTHON) ## the server against its own OpenAPI document, by schemathesis
	@$(SCHEMA_PYTHON) tools/schema/run.py $(SCHEMA)

# Made afresh when the requirements change, like build/venv.
$(SCHEMA_PYTHON): tools/schema/requirements.txt
	@rm -rf build/schema-venv && mkdir -p build && /usr/bin/python3 -m venv build/schema-venv
	@echo "schema: installing tools/schema/requirements.txt"
	@build/schema-venv/bin/pip install -q --no-deps --require-hashes -r tools/schema/requirements.txt || { rm -rf build/schema-venv; exit 1; }
	@touch $@

.PHONY: image
image: ## build the container image, as vidi, with docker, podman or buildah (docs/container.md)
	@tools/container/build.sh vidi

.PHONY: test-container
test-container: ## build the image and prove it: sizes, offline, read-only, answers, a clean stop (as root; no engine has to run)
	@tools/container/test.sh

.PHONY: test-deploy
test-deploy: vidi test-models build/prometheus build/helm $(DEPLOY_PYTHON) ## docker-compose.yml, the Helm chart and the monitoring: by their own parsers, and run
	@go=$$(third_party/find-go.sh); cd deploy/check && "$$go" test -count=1 -timeout 10m ./...

# Some minutes the first time; afterwards Go has the parts in its cache.
build/helm: Makefile
	@echo "helm: building $(HELM)"
	@go=$$(third_party/find-go.sh); GOBIN="$(CURDIR)/build" "$$go" install -trimpath -ldflags '-s -w' $(HELM)
	@touch $@

.PHONY: dist
dist: vidi python build/cyclonedx-gomod $(DEPLOY_PYTHON) ## the tarball, with its bill of materials and checksums, into build/dist
	@rm -rf build/dist-model && mkdir -p build/dist-model
	@$(PYTHON) tools/export/export.py auto --out build/dist-model
	@tools/dist/dist.sh build/dist-model build/dist

# DEBIAN and GOVULNDB are a file and a folder that lie here: nothing is fetched but the tool (docs/tarball.md).
RELEASE ?= $(lastword $(sort $(wildcard build/dist/*.tar.gz)))

.PHONY: vulnerabilities
vulnerabilities: build/govulncheck ## a release beside lists of known faults: DEBIAN=tracker.json GOVULNDB=FOLDER
	@/usr/bin/python3 tools/dist/vulnerabilities.py "$(RELEASE)" --debian "$(DEBIAN)" --govulndb "$(GOVULNDB)" --govulncheck build/govulncheck --program bin/vidi

build/govulncheck: Makefile
	@go=$$(third_party/find-go.sh); GOBIN="$(CURDIR)/build" "$$go" install -trimpath -ldflags '-s -w' $(GOVULNCHECK)
	@touch $@

.PHONY: test-dist
test-dist: dist ## the tarball: unpacked, and used where nothing else is
	@tools/dist/test.sh build/dist/vidi-*.tar.gz

# What writes the Go part of the bill of materials, out of what Go itself left in the program.
build/cyclonedx-gomod: Makefile
	@go=$$(third_party/find-go.sh); GOBIN="$(CURDIR)/build" "$$go" install -trimpath -ldflags '-s -w' $(GOMOD)
	@touch $@

# Made afresh when the requirements change, like build/venv.
$(DEPLOY_PYTHON): deploy/check/requirements.txt
	@rm -rf build/deploy-venv && mkdir -p build && /usr/bin/python3 -m venv build/deploy-venv
	@echo "deploy: installing deploy/check/requirements.txt"
	@build/deploy-venv/bin/pip install -q --no-deps --require-hashes -r deploy/check/requirements.txt || { rm -rf build/deploy-venv; exit 1; }
	@touch $@

.PHONY: parity
parity: vidi test-models ## the tables of differences: from the Python reference, and of every fast mode from fp32
	@go=$$(third_party/find-go.sh); "$$go" test -count=1 -v -run 'Parity|Accuracy' ./service/e2e

.PHONY: zoo
zoo: vidi test-models ## every model that can be exported: parity, size, speed and memory, into docs/model-zoo.md (20 minutes)
	@$(PYTHON) tools/zoo.py $(ZOO)

.PHONY: screenshots
screenshots: vidi test-models ## the pictures of the page in docs/screenshots, afresh (needs chromium)
	@go=$$(third_party/find-go.sh); VIDI_SCREENSHOTS="$(CURDIR)/docs/screenshots" "$$go" test -count=1 -run Screenshots ./service/e2e

.PHONY: accuracy
accuracy: vidi test-models ## what bf16, int8 and fast decode change, into docs/accuracy.md (needs VIDI_SHARED: at least 200 pictures)
	@go=$$(third_party/find-go.sh); VIDI_ACCURACY_FILE="$(CURDIR)/docs/accuracy.md" "$$go" test -count=1 -v -run TestAccuracy ./service/e2e

.PHONY: measure
measure: vidi test-models ## time and memory beside the Python reference, into docs/measurements.md
	@$(PYTHON) tools/measure.py

.PHONY: soak
soak: vidi test-models ## 50,000 mixed requests; memory, threads and descriptors must stay flat
	@$(PYTHON) tools/soak.py $(ARGS)

# BENCH is handed on: `make bench BENCH=--quick`, `make bench BENCH="--servers vidi-bf16 flask"`.
.PHONY: bench
bench: vidi test-models $(BENCH_PYTHON) ## vidi beside other servers and engines, into docs/benchmarks.md (20 minutes, on a quiet machine)
	@third_party/system-packages.sh $(BENCH_PACKAGES)
	@$(PYTHON) tools/export/export.py resnet18-seeded --int8 --out build/bench/models
	@$(BENCH_PYTHON) tools/bench/bench.py $(BENCH)

# Made afresh when the requirements change, like build/venv.
$(BENCH_PYTHON): tools/bench/requirements.txt
	@third_party/system-packages.sh $(BENCH_PACKAGES)
	@rm -rf build/bench-venv && mkdir -p build && /usr/bin/python3 -m venv --system-site-packages build/bench-venv
	@echo "bench: installing tools/bench/requirements.txt"
	@build/bench-venv/bin/pip install -q --no-deps --require-hashes -r tools/bench/requirements.txt || { rm -rf build/bench-venv; exit 1; }
	@touch $@

.PHONY: clean
clean: ## remove what was built here (downloads stay in the cache)
	@rm -rf bin build
