#!/usr/bin/env python3
"""Turns Debian's package index into lines of JSON for `kvstore import`.

Reads what `apt-cache dumpavail` prints from stdin: stanzas with a blank line between. Writes a line per stanza:
{"key": <name of the package>, "value": <the stanza>}. Of a package with several versions the later stanza wins, as the later line does.
"""

import json
import sys


def stanzas(lines):
    """The stanzas of a control file, each as the list of its lines."""
    stanza = []
    for line in lines:
        if line.strip():
            stanza.append(line)
        elif stanza:
            yield stanza
            stanza = []
    if stanza:
        yield stanza


def main():
    # A byte that is not UTF-8 must not stop the import of 60,000 packages; it is shown as a replacement character.
    source = open(sys.stdin.fileno(), encoding="utf-8", errors="replace", newline="\n")
    for stanza in stanzas(source):
        name = next((line.removeprefix("Package:").strip() for line in stanza if line.startswith("Package:")), None)
        if name is None:
            sys.exit("a stanza has no Package field: is this the output of `apt-cache dumpavail`?")
        json.dump({"key": name, "value": "".join(stanza)}, sys.stdout, ensure_ascii=False)
        sys.stdout.write("\n")


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:
        sys.exit(1)
