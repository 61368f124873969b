# A rehearsal image: any base with Python 3.10 or later, and what the rehearsal's engine and our tests need in it.
# Made by `./inv image.build --rehearsal`, which lays the packages beside this file; nothing is fetched during the build.
ARG BASE
FROM ${BASE}
ARG SITE
COPY packages/ ${SITE}/
