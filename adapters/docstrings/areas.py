"""The standard library by area: each area is one label."""

from __future__ import annotations

from collections.abc import Mapping

STDLIB_AREAS: Mapping[str, tuple[str, ...]] = {
    "stdlib networking": (
        "ftplib", "http", "imaplib", "ipaddress", "nntplib", "poplib", "smtplib", "socket", "socketserver",
        "ssl", "telnetlib", "urllib", "uuid", "webbrowser", "wsgiref", "xmlrpc",
    ),
    "stdlib mail and encodings": (
        "base64", "binascii", "binhex", "codecs", "email", "mailbox", "mailcap", "mimetypes", "quopri", "uu",
    ),
    "stdlib concurrency": (
        "asyncio", "concurrent", "contextvars", "multiprocessing", "queue", "sched", "selectors", "signal",
        "subprocess", "threading",
    ),
    "stdlib files": (
        "_pyio", "bz2", "filecmp", "fileinput", "fnmatch", "genericpath", "glob", "gzip", "io", "lzma",
        "ntpath", "os", "pathlib", "posixpath", "shelve", "shutil", "stat", "tarfile", "tempfile", "zipfile",
        "dbm",
    ),
    "stdlib text and markup": (
        "configparser", "csv", "difflib", "gettext", "html", "json", "locale", "plistlib", "re", "string",
        "textwrap", "tomllib", "xml",
    ),
    "stdlib numbers and dates": (
        "_pydatetime", "_pydecimal", "calendar", "colorsys", "datetime", "decimal", "fractions", "numbers",
        "random", "secrets", "statistics", "zoneinfo",
    ),
    "stdlib data structures": (
        "_collections_abc", "_weakrefset", "abc", "bisect", "collections", "copy", "copyreg", "dataclasses",
        "enum", "functools", "graphlib", "heapq", "operator", "reprlib", "types", "typing", "weakref",
    ),
    "stdlib testing and debugging": (
        "bdb", "cProfile", "doctest", "faulthandler", "linecache", "logging", "pdb", "profile", "pstats",
        "timeit", "trace", "traceback", "tracemalloc", "unittest", "warnings",
    ),
    "stdlib language": (
        "ast", "code", "codeop", "compileall", "dis", "importlib", "inspect", "modulefinder", "opcode",
        "pickle", "pickletools", "pkgutil", "py_compile", "pyclbr", "runpy", "site", "symtable", "sysconfig",
        "token", "tokenize", "venv", "zipapp", "zipimport",
    ),
    "stdlib user interface": (
        "argparse", "cmd", "curses", "getopt", "getpass", "optparse", "pydoc", "shlex", "tkinter", "turtle",
    ),
}  # fmt: skip
"""The modules and packages of each area. What is in none (``this``, tables such as ``encodings``) is out."""
