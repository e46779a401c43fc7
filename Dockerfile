# The two images, for those who build with an engine: after `make binaries`,
#   docker buildx build --platform linux/amd64,linux/arm64 --target function .
# `make image` makes images of the same files without one. There is no base: the
# binaries carry time zones, and the controller's the certificate authorities of
# Git servers.

# The controller of restores.
FROM scratch AS controller
ARG TARGETARCH
COPY --chmod=0755 build/bin/linux-$TARGETARCH/controller /
USER 65532:65532
ENTRYPOINT ["/controller"]

# The composition function, and the mover that Jobs run.
FROM scratch AS function
ARG TARGETARCH
COPY --chmod=0755 build/bin/linux-$TARGETARCH/function build/bin/linux-$TARGETARCH/mover /
USER 65532:65532
EXPOSE 9443
ENTRYPOINT ["/function"]
