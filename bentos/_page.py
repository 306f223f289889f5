"""The page that shows a service's OpenAPI document in Swagger UI."""

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
"""HTML around the Swagger UI that BentoML ships; BentoML's own page would call a tracker on another host."""
