"""The steps of the online pipeline: a packaged model in, a service that answers with it out.

`contract`, `candidate`, `service_image`, `sbom`, `scan`, `smoke` and `staging` judge what would be served; `release`
and `site` serve it.
"""
