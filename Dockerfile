# syntax=docker/dockerfile:1
# The image of civilhub: the program, the libraries it is linked with, authorities, and the files of the product. No shell.
#
#   docker build -t civilhub .
#
# Without network: scripts/vendor.sh first, then  docker build --network=none -t civilhub .
# With sources through ODBC: --build-arg FEATURES=odbc  (needs the network for unixODBC; drivers come by an image of your own)

ARG RUST_IMAGE=rust:1.95-bookworm

FROM ${RUST_IMAGE} AS build
ARG FEATURES=""
WORKDIR /src
# hadolint ignore=DL3008
RUN case ",${FEATURES}," in *,odbc,*) \
      apt-get -qq update && apt-get -qq install --yes --no-install-recommends unixodbc-dev && rm -rf /var/lib/apt/lists/* ;; \
    esac
COPY . .
RUN scripts/image_build.sh "${FEATURES}" && scripts/image_tree.sh target/release/civilhub /image

FROM scratch
COPY --from=build /image/ /
# By number, so that a cluster sees that it is not root.
USER 10001:10001
WORKDIR /usr/share/civilhub
ENV CIVILHUB__HUB__DATA=/var/lib/civilhub \
    CIVILHUB__HTTP__LISTEN=0.0.0.0:8080
EXPOSE 8080
ENTRYPOINT ["/usr/bin/civilhub"]
CMD ["serve"]
