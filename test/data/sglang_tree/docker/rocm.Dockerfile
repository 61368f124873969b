# The stages that a run asks for their AITER; AITER_PIN is replaced by a commit.
FROM scratch AS gfx942
ENV AITER_COMMIT_DEFAULT="AITER_PIN"
FROM scratch AS gfx942-rocm720
ENV AITER_COMMIT_DEFAULT="AITER_PIN"
