"""The page that shows a service's OpenAPI document."""

PAGE = b"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Activities from wearable sensors</title>
<link rel="stylesheet" href="static_content/swagger-ui.css">
<link rel="icon" href="data:,">
<div id="api"></div>
<script src="static_content/swagger-ui-bundle.js"></script>
<script>SwaggerUIBundle({url: "docs.json", dom_id: "#api", validatorUrl: null})</script>
"""
"""HTML around BentoML's viewer, in place of BentoML's own page, which calls a tracker."""
