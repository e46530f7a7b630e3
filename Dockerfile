# PyTorch's own build brings CUDA and runs on CPUs too:
#     docker build -t unskip .
# A small one for CPUs, from the index that PyTorch's installation page names for them:
#     docker build -t unskip --build-arg TORCH_INDEX=URL .
# Extras of pyproject.toml: --build-arg EXTRAS=[ethos-u,ncnn]
FROM python:3.11-slim

ARG TORCH_INDEX=""
ARG EXTRAS=""

WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
COPY recipes recipes
COPY studies studies
RUN pip install --no-cache-dir -c constraints.txt ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch torchvision \
    && pip install --no-cache-dir -c constraints.txt ".${EXTRAS}"

# Whoever runs it may have no home here; caches go where everybody may write.
ENV HOME=/tmp
WORKDIR /work
ENTRYPOINT ["unskip"]
