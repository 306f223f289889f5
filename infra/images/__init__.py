"""Container images: built with docker, podman or buildah, tried in a container, and described by an SBOM.

`python -m infra.images` builds them, `python -m infra.images.check` tries them, `python -m infra.images.sbom` lists
what is in them. Figures go to `reports/images.json`.
"""
