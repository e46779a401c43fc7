# The image of the composition function and of the mover that its Jobs run: two
# static binaries. The function carries certificate authorities and time zones.
# `make image` builds them and then this, without an engine or a base.
FROM scratch
COPY bin/function bin/mover /
USER 65532:65532
EXPOSE 9443
ENTRYPOINT ["/function"]
