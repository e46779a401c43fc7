# The image of the composition function, which its Jobs run too: one static
# binary that carries certificate authorities and time zones itself.
# `make image` builds the binary and then this, without an engine or a base.
FROM scratch
COPY bin/function /function
USER 65532:65532
EXPOSE 9443
ENTRYPOINT ["/function"]
