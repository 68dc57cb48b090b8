# vidi, its libraries and a model, on Debian's slim image. docs/container.md tells how to use and to build it.
#
#   docker build -t vidi .
#   docker run -p 127.0.0.1:5000:5000 vidi

# ---- libtorch: the public release, or the same from packages, checked against third_party/libtorch.lock ----
FROM debian:bookworm AS libtorch
WORKDIR /src
COPY third_party/system-packages.sh third_party/
RUN third_party/system-packages.sh ca-certificates curl python3-pip unzip && rm -rf /var/lib/apt/lists/*
COPY third_party/fetch-libtorch.sh third_party/libtorch.lock third_party/
COPY third_party/downloads/ /root/.cache/vidi/downloads/
# The zip's address where it is not the public one; pip's index. Maven's settings come as a secret: they may hold a password.
ARG LIBTORCH_URL
ARG PIP_INDEX_URL
RUN --mount=type=secret,id=maven,target=/root/.m2/settings.xml \
    mv "$(VIDI_LIBTORCH_URL="$LIBTORCH_URL" third_party/fetch-libtorch.sh)" /libtorch

# ---- the model: traced by PyTorch, with its card inside ----
FROM debian:bookworm AS model
WORKDIR /src
COPY third_party/system-packages.sh third_party/
RUN third_party/system-packages.sh ca-certificates make python3-torch python3-torchvision python3-venv && rm -rf /var/lib/apt/lists/*
COPY Makefile ./
COPY tools/requirements.txt tools/
COPY tools/export tools/export/
COPY service/model/imagenet.tsv service/model/
COPY third_party/downloads/ /root/.cache/vidi/weights/
# auto: resnet18 where its weights can be had, else efficientnet-lite0. Either name alone fails where that one cannot be made.
ARG MODEL=auto
ARG WEIGHTS_URL
ARG PIP_INDEX_URL
RUN make python && build/venv/bin/python tools/export/export.py "$MODEL" ${WEIGHTS_URL:+--weights-url "$WEIGHTS_URL"} --out /layer/opt/vidi/models \
    && chmod -R u=rwX,go=rX /layer && find /layer -exec touch -d @0 {} +

# ---- the program and the shim ----
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY third_party/system-packages.sh third_party/
RUN third_party/system-packages.sh cmake g++ libjpeg-dev libpng-dev make ninja-build && rm -rf /var/lib/apt/lists/*
COPY --from=libtorch /libtorch /libtorch
COPY . .
RUN LIBTORCH=/libtorch make shim
ARG GOPROXY
ARG VERSION
ARG COMMIT
# A folder for each layer, all files with one time: what did not change makes the same layer again, and is not moved at an update.
RUN VIDI_VERSION=$VERSION VIDI_COMMIT=$COMMIT tools/dist/collect.sh /collected \
    && mkdir -p /layers/libtorch/opt/vidi/lib /layers/libraries/opt/vidi/lib /layers/libraries/models /layers/vidi/opt/vidi/lib \
    && mv /collected/lib/libtorch /layers/libtorch/opt/vidi/lib/ \
    && mv /collected/lib/libtorchbind.so /collected/lib/libvidiimage.so /layers/vidi/opt/vidi/lib/ \
    && mv /collected/lib/* /layers/libraries/opt/vidi/lib/ \
    && mv /collected/vidi /collected/licences /layers/vidi/opt/vidi/ \
    && find /layers -exec touch -h -d @0 {} +

# ---- the image ----
FROM debian:bookworm-slim
COPY --from=build /layers/libtorch/ /
COPY --from=build /layers/libraries/ /
COPY --from=model /layer/ /
COPY --from=build /layers/vidi/ /
ENV PATH=/opt/vidi:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    VIDI_ADDR=0.0.0.0:5000 VIDI_ADMIN_ADDR=0.0.0.0:5001 VIDI_MODELS=/models
ARG VERSION
ARG COMMIT
LABEL org.opencontainers.image.title="vidi" \
      org.opencontainers.image.description="Tells what is in a picture, on your own machine: an HTTP API and a web page; no network needed" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.documentation="https://github.com/vidi-vision/vidi/blob/main/docs/container.md" \
      org.opencontainers.image.source="https://github.com/vidi-vision/vidi" \
      org.opencontainers.image.base.name="docker.io/library/debian:bookworm-slim" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$COMMIT"
USER 65532:65532
WORKDIR /
# 5000 is for clients. 5001 is for operators: leave it unpublished.
EXPOSE 5000 5001
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["/opt/vidi/vidi", "health"]
ENTRYPOINT ["/opt/vidi/vidi"]
CMD ["serve"]
