# The two images. `make image` builds the static binaries and then these, without
# an engine or a base. They carry certificate authorities and time zones.

# The controller of restores, which is also the command line.
FROM scratch AS controller
COPY bin/threescale-backup /
USER 65532:65532
ENTRYPOINT ["/threescale-backup"]

# The composition function, and the mover that Jobs run.
FROM scratch AS function
COPY bin/function bin/mover /
USER 65532:65532
EXPOSE 9443
ENTRYPOINT ["/function"]
