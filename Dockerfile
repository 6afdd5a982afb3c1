# A REST server for a packaged pipeline. Put two wheels into the folder dist/: that of this package
# (python -m build --wheel) and that of a pipeline (python -m spacy package ... --build wheel). Then:
#   docker build --build-arg PIPELINE=en_msvse_open -t msvse .
#   docker run -e MSVSE_API_KEY=... -p 127.0.0.1:8000:8000 msvse
FROM python:3.11-slim
ARG PIPELINE
ENV PIPELINE=${PIPELINE} HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
COPY dist/*.whl /wheels/
RUN pip install --no-cache-dir --find-links /wheels "spacy-msvse[api]" "${PIPELINE}" && rm -r /wheels
RUN useradd --create-home msvse
USER msvse
WORKDIR /home/msvse
EXPOSE 8000
ENTRYPOINT ["sh", "-c", "exec python -m spacy msvse serve ${PIPELINE} --api --host 0.0.0.0 --port 8000 --api-key-env MSVSE_API_KEY"]
