# An image with the program and the libraries that it is linked to: no shell, no package manager, no root.
#
#   docker build --build-arg REVISION=$(git rev-parse --short=12 HEAD) --tag nik-stream .
FROM rust:1.95.0-bookworm AS build
# Takes the newest versions of what goes into the image, and the build dependencies.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libssl3 libssl-dev zlib1g-dev pkg-config python3 \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# The commit is an argument, since the build context has no repository.
ARG REVISION=unknown
RUN NIK_STREAM_REVISION=$REVISION cargo build --release --locked \
    && script/image-root target/release/nik-stream /image

FROM scratch
ARG REVISION=unknown
LABEL org.opencontainers.image.title="nik-stream" \
      org.opencontainers.image.description="Validates Indonesian identity numbers (NIK) on a Kafka stream, each request answered exactly once" \
      org.opencontainers.image.version="0.2.0" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.base.name="scratch"
COPY --from=build /image /
# The system's TLS authorities apply without kafka.security.ca_file. HTTP must be reachable from outside the container.
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    NIK_STREAM__HTTP__LISTEN=0.0.0.0:9464
# A number lets Kubernetes verify that the user is not root. The program writes no files, so run it with a read-only root.
USER 65532:65532
EXPOSE 9464
# The check is liveness, since restarting a container would not fix what readiness depends on.
HEALTHCHECK --interval=10s --timeout=6s --start-period=10s CMD ["nik-stream", "health", "--live"]
ENTRYPOINT ["nik-stream"]
CMD ["run"]
