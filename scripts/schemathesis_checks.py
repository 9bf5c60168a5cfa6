"""What schemathesis does not check by itself: that every header is described, and that the run was one that could have failed."""

import schemathesis
from schemathesis import GenerationMode

# What HTTP itself adds to a message, and what framing takes.
OF_HTTP = {"connection", "content-length", "content-type", "date", "transfer-encoding"}


@schemathesis.hook
def before_call(context, case, kwargs):
    """Well-formed requests that only ask too much at once would be refused: make most of them ask for one thing."""
    if case.meta is None or case.meta.generation.mode != GenerationMode.POSITIVE:
        return
    headers, query = case.headers or {}, case.query or {}
    if "If-Match" in headers and "If-None-Match" in headers:
        del headers["If-Match"]
    if case.media_type == "application/json":
        query.pop("ttl", None)
    if case.operation.label in ("GET /kv-store/v1/kv/", "HEAD /kv-store/v1/kv/"):
        if "key" in query and len(query) > 2:
            query.pop("key")
        if "key" not in query:
            query.pop("raw", None)
            if query.get("start", "") > query.get("end", "\U0010ffff"):
                query.pop("end")


@schemathesis.deserializer("application/octet-stream")
def as_text(ctx, response):
    return response.content.decode("latin-1")


@schemathesis.check
def headers_are_described(ctx, response, case):
    document = case.operation.schema.raw_schema
    described = case.operation.definition.raw.get("responses", {}).get(str(response.status_code))
    if described is None:
        # Another check tells of statuses that are not described.
        return
    if "$ref" in described:
        described = document["components"]["responses"][described["$ref"].rsplit("/", 1)[1]]
    known = {name.lower() for name in described.get("headers", {})}
    unknown = sorted(name for name in response.headers if name.lower() not in known | OF_HTTP)
    if unknown:
        raise AssertionError(f"headers that the document does not describe for {response.status_code}: {', '.join(unknown)}")


@schemathesis.check
class RunIsLongEnough:
    """Enough requests were answered, and every operation succeeded at least once: refusals alone show little."""

    def __init__(self, cases_min=0):
        self.cases_min = cases_min
        self.cases = set()
        self.documented = set()
        self.succeeded = set()

    def after_response(self, ctx, response, case):
        self.cases.add(case.id)
        if not self.documented:
            paths = case.operation.schema.raw_schema["paths"]
            self.documented = {f"{method.upper()} {path}" for path, item in paths.items() for method in item}
        if response.status_code < 400:
            self.succeeded.add(case.operation.label)

    def after_run(self, ctx):
        print(f"\n{len(self.cases)} requests to {len(self.documented)} operations were answered and checked.")
        if len(self.cases) < self.cases_min:
            raise AssertionError(f"only {len(self.cases)} requests were made; {self.cases_min} are wanted: raise EXAMPLES")
        never = sorted(self.documented - self.succeeded)
        if never:
            raise AssertionError("these operations never succeeded: " + ", ".join(never))
