#!/usr/bin/env python3
"""Validate SBOM documents with the official libraries.

    validate.py spdx FILE        SPDX 2.3 JSON, by spdx-tools
    validate.py cyclonedx FILE   CycloneDX 1.6 JSON, strictly, by cyclonedx-python-lib

Needs: pip install spdx-tools 'cyclonedx-python-lib[validation]'.
Prints each fault on a line; exits 0 if there is none, 1 if there are faults, 2 if it cannot tell.
"""

import sys


def spdx(path):
    from spdx_tools.spdx.parser.parse_anything import parse_file
    from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

    document = parse_file(path)
    return [message.validation_message for message in validate_full_spdx_document(document, "SPDX-2.3")]


def cyclonedx(path):
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    with open(path, encoding="utf-8") as file:
        fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(file.read())
    return [] if fault is None else [str(fault)]


def main():
    validators = {"spdx": spdx, "cyclonedx": cyclonedx}
    if len(sys.argv) != 3 or sys.argv[1] not in validators:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        faults = validators[sys.argv[1]](sys.argv[2])
    except ImportError as error:
        print(f"missing library: {error}", file=sys.stderr)
        return 2
    except Exception as error:  # a document that does not parse is a faulty one
        faults = [f"{type(error).__name__}: {error}"]
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
