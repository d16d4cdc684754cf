#!/usr/bin/env python3
"""Validate SBOM documents and reports with the official libraries and schemas.

    validate.py FORMAT FILE

FORMAT is one of
    spdx-json, spdx-tag-value                     SPDX 2.3, by spdx-tools
    spdx3-json                                    SPDX 3.0.1, by SPDX's own Python model, which knows its types and counts
    cyclonedx-json[@VERSION], cyclonedx-xml[...]  strictly, by cyclonedx-python-lib; 1.6 without version
    syft-json                                     read and written again by Syft: the same packages, owners and dependencies
    syft:FORMAT                                   one of the others, read by Syft: the same package URLs
    ntia                                          SPDX 2.3, by ntia-conformance-checker
    bsi, fsct3-min                                SPDX 3.0.1, by ntia-conformance-checker: what each lacks
    sarif                                         SARIF 2.1.0, by OASIS' schema as SchemaStore has it, with formats

Needs: pip install -r requirements.txt.
Prints each fault on a line; exits 0 if there is none, 1 if there are faults, 2 if it cannot tell.
"""

import json
import os
import re
import subprocess
import sys
import tempfile


def spdx(path):
    from spdx_tools.spdx.parser.parse_anything import parse_file
    from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

    document = parse_file(path)
    return [message.validation_message for message in validate_full_spdx_document(document, "SPDX-2.3")]


def spdx3(path):
    import spdx_python_model

    with open(path, encoding="utf-8") as file:
        text = json.load(file)
    _, objects = spdx_python_model.load_data(text)
    faults = [f"nothing is called {name}" for name in objects.link()]
    counted = len(list(objects.foreach()))
    if counted < len(text["@graph"]):
        faults.append(f"{counted} of {len(text['@graph'])} elements were understood")
    return faults


def cyclonedx(path, encoding, version):
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator
    from cyclonedx.validation.xml import XmlValidator

    validator = JsonStrictValidator if encoding == "json" else XmlValidator
    with open(path, encoding="utf-8") as file:
        fault = validator(SchemaVersion.from_version(version)).validate_str(file.read())
    return [] if fault is None else [str(fault)]


def convert(path):
    """What Syft makes of a document."""
    syft = os.path.join(os.path.dirname(sys.executable), "syft")
    environment = {"PATH": "/usr/bin:/bin", "HOME": tempfile.gettempdir(), "SYFT_CHECK_FOR_APP_UPDATE": "false"}
    done = subprocess.run([syft, "convert", path, "-q", "-o", "syft-json"], capture_output=True, env=environment)
    if done.returncode != 0:
        raise ValueError(done.stderr.decode(errors="replace").strip()[-400:])
    return json.loads(done.stdout)


def syft_json(path):
    with open(path, encoding="utf-8") as file:
        ours = json.load(file)
    theirs = convert(path)
    faults = []

    def packages(document):
        names = {}
        for each in document["artifacts"]:
            names[each["id"]] = (each["name"], each["version"], each["type"], each.get("purl", ""), each.get("metadataType", ""))
        return names

    before, after = packages(ours), packages(theirs)
    if before != after:
        faults += [f"lost or changed: {each}" for each in set(before.items()) ^ set(after.items())]

    def relations(document):
        return {(each["parent"], each["child"], each["type"]) for each in document["artifactRelationships"]}

    faults += [f"lost: {each}" for each in relations(ours) - relations(theirs)]
    if ours["distro"].get("id") != theirs["distro"].get("id"):
        faults.append(f"distribution {theirs['distro']}")
    return faults


def syft_reads(path):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    written = set(re.findall(r'(?:"purl": ?"|"referenceLocator": ?"| purl |<purl>)(pkg:[^"<\s]+)', text))
    written = {purl.replace("&amp;", "&") for purl in written if not purl.startswith("pkg:oci/")}
    read = {each.get("purl", "") for each in convert(path)["artifacts"]}
    from packageurl import PackageURL

    def canonical(purls):
        return {PackageURL.from_string(purl).to_string() for purl in purls if purl}

    return [f"not read: {purl}" for purl in sorted(canonical(written) - canonical(read))]


def ntia(path):
    from ntia_conformance_checker import SbomChecker

    checker = SbomChecker(path, compliance="ntia")
    if checker.compliant:
        return []
    lacking = {
        "names": checker.get_components_without_names(),
        "versions": checker.get_components_without_versions(),
        "identifiers": checker.get_components_without_identifiers(),
        "suppliers": checker.get_components_without_suppliers(),
    }
    return [f"without {what}: {len(those)}" for what, those in lacking.items() if those] or ["not compliant"]


def minimum(path, rules):
    """What SPDX's checker misses in an SPDX 3 document: BSI's fields, or those of CISA's framing document."""
    from ntia_conformance_checker import SbomChecker

    checker = SbomChecker(path, compliance=rules, sbom_spec="spdx3")
    if checker.compliant:
        return []
    unmet = [title for title, met in checker.table_elements if not met and "(" not in title.replace("(SBOM type)", "")]
    lists = [f"without {what}: {len(those)}" for what, those in checker.all_components_without_info]
    return sorted(unmet) + sorted(lists) or ["not compliant"]


def sarif_schema():
    """The schema out of the package's store of answers: their bytes, so that nothing there is unpickled or fetched."""
    import importlib.util
    import sqlite3

    store = os.path.join(os.path.dirname(importlib.util.find_spec("schemastore").origin), "cache.sqlite")
    title = b"Static Analysis Results Format (SARIF) Version 2.1.0 JSON Schema"
    with sqlite3.connect(f"file:{store}?mode=ro", uri=True) as database:
        for (answer,) in database.execute("SELECT value FROM responses"):
            # A pickled dict whose "_content" is a string of bytes: its opcode, its length, itself.
            start = answer.find(b"_content\x94B")
            if start >= 0 and title in answer[start : start + 400]:
                start += len(b"_content\x94B")
                length = int.from_bytes(answer[start : start + 4], "little")
                return json.loads(answer[start + 4 : start + 4 + length])
    raise ImportError("schemastore has no SARIF 2.1.0")


def sarif(path):
    import jsonschema

    schema = sarif_schema()
    validator = jsonschema.Draft7Validator(schema, format_checker=jsonschema.Draft7Validator.FORMAT_CHECKER)
    with open(path, encoding="utf-8") as file:
        found = validator.iter_errors(json.load(file))
    return [f"{error.json_path}: {error.message[:200]}" for error in found]


def validate(form, path):
    form, _, version = form.partition("@")
    if form in ("spdx-json", "spdx-tag-value"):
        return spdx(path)
    if form == "spdx3-json":
        return spdx3(path)
    if form in ("cyclonedx-json", "cyclonedx-xml"):
        return cyclonedx(path, form.partition("-")[2], version or "1.6")
    if form == "syft-json":
        return syft_json(path)
    if form.startswith("syft:"):
        return syft_reads(path)
    if form == "ntia":
        return ntia(path)
    if form in ("bsi", "fsct3-min"):
        return minimum(path, form)
    if form == "sarif":
        return sarif(path)
    return None


def main():
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        faults = validate(sys.argv[1], sys.argv[2])
    except ImportError as error:
        print(f"missing library: {error}", file=sys.stderr)
        return 2
    except Exception as error:  # a document that does not parse is a faulty one
        faults = [f"{type(error).__name__}: {error}"]
    if faults is None:
        print(__doc__, file=sys.stderr)
        return 2
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
