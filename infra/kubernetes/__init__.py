"""The project in Kubernetes: manifests for kustomize, and the place where `har release` works there.

`python -m infra.kubernetes write STAGE` puts the project's names and images into an overlay; docs/how-to/kubernetes.md
describes the rest. `infra.kubernetes.serving` is the adapter of `har.release.Serving`.
"""

from infra.kubernetes.place import KubernetesServing, serving

__all__ = ["KubernetesServing", "serving"]
