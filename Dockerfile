# A prediction server: docs/serve.md.
#   docker build --build-arg RUNTIME=onnx -t tfclassify .
#   docker run -p 8000:8000 -v "$PWD/export/onnx:/model:ro" tfclassify
# RUNTIME: onnx or litert (an artefact, without TensorFlow), tensorflow (a run or a bundle).
FROM python:3.11-slim

ARG RUNTIME=onnx
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 ORT_DISABLE_TELEMETRY=1

WORKDIR /app
COPY pyproject.toml README.md LICENSE ./
COPY tfclassify tfclassify
# Without TensorFlow, the package is installed bare, with what serving an artefact imports.
RUN set -eu; \
    case "$RUNTIME" in \
      tensorflow) RUN_BY= ;; \
      onnx) RUN_BY='onnxruntime>=1.23,<2' ;; \
      litert) RUN_BY='ai-edge-litert>=2.1,<3' ;; \
      *) echo "RUNTIME: onnx, litert or tensorflow, got $RUNTIME" >&2; exit 1 ;; \
    esac; \
    if [ -z "$RUN_BY" ]; then \
      pip install '.[web]'; \
    else \
      pip install --no-deps .; \
      pip install "$RUN_BY" 'numpy>=2,<3' 'pillow>=12,<13' 'pydantic>=2.12,<3' 'pyyaml>=6,<7' \
        'typer>=0.20,<1' 'rich>=14,<16' 'jinja2>=3.1,<4' \
        'fastapi>=0.120,<1' 'uvicorn>=0.38,<1' 'python-multipart>=0.0.20,<1'; \
    fi; \
    useradd --system --no-create-home server

USER server
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/readyz', timeout=2)"]
ENTRYPOINT ["tfclassify", "serve"]
CMD ["/model", "--host", "0.0.0.0", "--port", "8000"]
