"""``ratesight report``: makes the reports of finished runs again, without measuring anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .errors import one_line_errors
from .options import DebugOption, JsonOption
from .output import make_folder, print_json


def report(
    store: Annotated[
        Path | None, typer.Argument(help="Store of finished runs, such as ratesight.sqlite.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of reports, with a folder for each.")] = Path(
        "ratesight-out/reports"
    ),
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of report.json instead.")
    ] = False,
    json_lines: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Write the reports of the runs in a store again; no clip is read, nothing is encoded."""
    with one_line_errors(debug):
        from ..errors import RequestError, StoreError
        from ..measuring.store import open_store
        from ..reports.files import write_report
        from ..reports.output import safe_names
        from ..reports.record import record_schema, require_records

        if schema:
            print(json.dumps(record_schema(), indent=1))
            return
        if store is None:
            raise RequestError("report needs a store, got none; the usual one is ratesight.sqlite")
        if not store.is_file():
            raise StoreError(f"store must be a file that a run left, {store} is none")
        with open_store(store) as opened:
            records = require_records(opened)
        for record, name in zip(records, safe_names([one.name for one in records]), strict=True):
            folder = out / name
            make_folder(folder)
            page = write_report(record, folder)
            if json_lines:
                print_json("report", {"kind": record.kind, "name": record.name, "page": str(page)})
            else:
                print(page)
