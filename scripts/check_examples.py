"""Every example of an OpenAPI document fits the schema beside it. Usage: check_examples.py FILE, with schemathesis's Python."""

import json
import sys

from jsonschema_rs import Draft202012Validator

document = json.load(open(sys.argv[1]))


def resolved(part):
    while "$ref" in part:
        target = document
        for name in part["$ref"].removeprefix("#/").split("/"):
            target = target[name]
        part = target
    return part


def bodies():
    for path, item in document["paths"].items():
        for method, operation in item.items():
            places = {"request": operation.get("requestBody", {}), **operation["responses"]}
            for place, described in places.items():
                for media, content in resolved(described).get("content", {}).items():
                    yield f"{method.upper()} {path}, {place}, {media}", content


seen, faults = 0, []
for name, content in bodies():
    validator = Draft202012Validator({**content["schema"], "components": document["components"]})
    for title, example in content["examples"].items():
        seen += 1
        faults += [f"{name}, {title}: {error.message}" for error in validator.iter_errors(resolved(example)["value"])]
if faults or seen < 100:
    sys.exit("\n".join([f"{seen} examples", *faults]))
print(f"{seen} examples fit their schemas.")
