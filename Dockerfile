# The program in an image of its own: built where Rust is, run where only its libraries are.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# Of the commit, as the image's context holds no repository: --build-arg REVISION=$(git rev-parse --short=12 HEAD)
ARG REVISION=unknown
RUN NIK_STREAM_REVISION=$REVISION cargo build --release --locked

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libssl3 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/target/release/nik-stream /usr/local/bin/
COPY LICENSE NOTICE data/regions/NOTICE /usr/share/doc/nik-stream/
USER nobody
EXPOSE 9464
ENTRYPOINT ["nik-stream"]
CMD ["run"]
