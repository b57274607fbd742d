# An image with edgekit, Paddle and ONNX Runtime:   docker build -t edgekit .
# The main job:   docker run --rm -v "$PWD:/work" edgekit export PPLCNet_x1_0_doc_ori --formats paddle,onnx
FROM python:3.12-slim-bookworm
# Debian drops a version when it fixes it, so none is pinned.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 libgomp1 \
    && rm -rf /var/lib/apt/lists/*
COPY . /source
RUN pip install --no-cache-dir -c /source/constraints.txt '/source[paddle,onnxruntime,native,report]' && rm -rf /source
RUN useradd --create-home --uid 1000 edgekit
USER 1000
WORKDIR /work
ENTRYPOINT ["edgekit"]
