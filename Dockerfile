# syntax=docker/dockerfile:1

# deploy/image.sh makes the same image without a daemon, by the same build line: keep the two alike.

# A release pins it by digest: --build-arg RUST_IMAGE=rust:1.95-slim-bookworm@sha256:...
ARG RUST_IMAGE=rust:1.95-slim-bookworm
# hadolint ignore=DL3029
FROM --platform=linux/amd64 ${RUST_IMAGE} AS build
WORKDIR /src
COPY . .
# The caches outlive the layer, so a changed source file rebuilds this package and not its dependencies.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    RUSTFLAGS="-C target-feature=+crt-static" \
    cargo build --release --locked --target x86_64-unknown-linux-gnu \
    && cp target/x86_64-unknown-linux-gnu/release/adit /adit

# hadolint ignore=DL3029
FROM --platform=linux/amd64 scratch
LABEL org.opencontainers.image.title="adit" \
      org.opencontainers.image.source="https://github.com/adit-dev/adit" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /adit /adit
# A number: runAsNonRoot cannot be proven for a name.
USER 65532:65532
ENTRYPOINT ["/adit"]
