# The program in an image of its own, with what it is linked to and nothing else: no shell, no package manager, no root.
#
#   docker build --build-arg REVISION=$(git rev-parse --short=12 HEAD) --tag nik-stream .
FROM rust:1.95.0-bookworm AS build
# The newest of what goes into the image; the rest is there.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libssl3 libssl-dev zlib1g-dev pkg-config python3 \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# Of the commit, as the image's context holds no repository.
ARG REVISION=unknown
RUN NIK_STREAM_REVISION=$REVISION cargo build --release --locked \
    && script/image-root target/release/nik-stream /image

FROM scratch
ARG REVISION=unknown
LABEL org.opencontainers.image.title="nik-stream" \
      org.opencontainers.image.description="Validates Indonesian identity numbers (NIK) on a Kafka stream, each request answered exactly once" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.base.name="scratch"
COPY --from=build /image /
# The system's authorities for kafka.security without a ca_file; HTTP reached from outside of the container.
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    NIK_STREAM__HTTP__LISTEN=0.0.0.0:9464
# By number, so that Kubernetes can tell that it is not root. It writes no file: run it with a read-only root.
USER 65532:65532
EXPOSE 9464
# Whether it lives: what starts unhealthy containers anew would mend nothing of what readiness rests on.
HEALTHCHECK --interval=10s --timeout=6s --start-period=10s CMD ["nik-stream", "health", "--live"]
ENTRYPOINT ["nik-stream"]
CMD ["run"]
