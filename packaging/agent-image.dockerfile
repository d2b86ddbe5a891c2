# The agent for hosts where nothing but a container engine is installed: its instances are containers
# beside it. Build it where the Debian package was unpacked:
#
#   npm run package && dpkg-deb --extract dist/aerodb_*.deb dist/root
#   docker build -f packaging/agent-image.dockerfile -t aerodb-agent dist/root
#
# Run it so; the paths of the home must be the same inside and outside, for instances mount them too:
#
#   docker run --detach --name aerodb-agent --restart unless-stopped \
#     --network host --pid host --cgroupns host --env-file agent.env \
#     --mount type=bind,source=/var/run/docker.sock,target=/var/run/docker.sock \
#     --mount type=bind,source=/sys/fs/cgroup,target=/sys/fs/cgroup,readonly \
#     --mount type=bind,source=/var/lib/aerodb,target=/var/lib/aerodb,bind-propagation=rshared \
#     aerodb-agent
#
# --pid host: servers are known by their processes. Without the control groups of the host it is not seen
# what they use. For hard limits on storage add --privileged, with which it can mount volumes; rshared
# shows them to instances, and needs a shared mount above: systemd makes them so, elsewhere it takes
# `mount --make-rshared /`. Who reaches the engine's socket owns the host: so does this container.
#
# Any Debian from 12 on that has libc, libstdc++, util-linux and mount: `--build-arg BASE=...` names
# another. The runtime needs libatomic1, volumes need xfsprogs; with a base that has both, nothing is
# fetched.
ARG BASE=debian:bookworm-slim
FROM ${BASE}
RUN if ! ldconfig -p | grep -q libatomic.so.1 || ! command -v mkfs.xfs >/dev/null; then \
      apt-get update && \
      apt-get install --yes --no-install-recommends libatomic1 xfsprogs && \
      rm -rf /var/lib/apt/lists/*; \
    fi
COPY . /
ENV AERODB_AGENT_HOME=/var/lib/aerodb/agent \
    AERODB_AGENT_DRIVER=container
# Servers outlive it and are adopted by the next; `docker kill --signal INT` stops them as well.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/aerodb"]
CMD ["agent"]
