// ReDoc on this server's own schema, in the fonts of the machine that reads it.
"use strict";

const sans = 'system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif';
const mono = 'ui-monospace, "SF Mono", Menlo, "DejaVu Sans Mono", monospace';

Redoc.init(
  "/kv-store/schema/",
  {
    hideDownloadButton: false,
    expandResponses: "200,201",
    jsonSampleExpandLevel: 3,
    theme: {
      colors: { primary: { main: "#0f766e" } },
      typography: { fontFamily: sans, headings: { fontFamily: sans }, code: { fontFamily: mono } },
    },
  },
  document.getElementById("redoc"),
);
