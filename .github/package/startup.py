#!/usr/bin/env python3
"""Writes src/startup.ld: the functions that run in a start, while the program is idle, and in a call.

    cargo rustc --release --bin mcp-tether --target-dir target/startup -- -C strip=none
    cargo build --release --example bench
    .github/package/startup.py target/startup/release/mcp-tether target/release/examples/bench

Wants Linux, valgrind and nm. Run it before a release, and build again: what is new since then is where it would be without the file. Names
of functions stand in it without the hash at their end, which changes with each compiler and version. Several functions may so have one name,
and where most of a module runs, the module stands for all. Names that nothing has are harmless.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# How many bytes of code that does not run one line of the file is worth.
LINE = 300
INITIALIZE = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "startup", "version": "1"}}
CALL = {"name": "echo", "arguments": {"text": "x"}}
# What runs, the earliest first: an idle connection over http, then over https, then calls.
RUNS = [[("http", "json", False)], [("https", "json", False)], [("http", "sse", True), ("https", "json", True)]]


def executed(program, server, home, scheme, kind, calls):
    """The functions of the program that run while a client starts it, initializes it, makes a call if there is to be one, and leaves."""
    trusted, profile = Path(home, "authority.pem"), Path(home, "profile")
    trusted.write_text(server["authority"])
    command = ["valgrind", "--tool=callgrind", "--demangle=no", "--compress-strings=no", f"--callgrind-out-file={profile}"]
    address = f"{scheme}://127.0.0.1:{server[scheme]}/{kind}"
    environment = {"PATH": "/usr/bin:/bin", "HOME": home, "SSL_CERT_FILE": str(trusted)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([*command, program, address], env=environment, text=True, bufsize=1, **pipes) as process:
        messages = [{"id": 1, "method": "initialize", "params": INITIALIZE}]
        if calls:
            messages += [{"method": "notifications/initialized"}, {"id": 2, "method": "tools/call", "params": CALL}]
        for message in messages:
            print(json.dumps({"jsonrpc": "2.0"} | message, separators=(",", ":")), file=process.stdin)
            if "id" in message and '"result"' not in process.stdout.readline():
                sys.exit(f"{address} did not answer")
        process.stdin.close()
    # A recursion has its depth behind the name.
    return {re.sub(r"'\d+$", "", name) for name in re.findall(r"^fn=(.*)$", profile.read_text(), re.MULTILINE)}


def parts(symbol):
    """A name as path, without what changes from build to build."""
    if not symbol.startswith("_ZN"):
        return [re.sub(r"Cs[0-9A-Za-z]+_", "Cs*_", re.sub(r"_core_\d+_\d+_\d+_", "_core_*_", symbol))]
    found, rest = [], symbol.removeprefix("_ZN")
    while len(rest) < len(symbol) and (length := re.match(r"\d+", rest)):
        end = length.end() + int(length[0])
        found.append(rest[:end])
        rest = rest[end:]
    return ["_ZN", *found[:-1]]


class Module:
    """A function or a module, with the sizes of all in it and of those that run."""

    def __init__(self):
        self.inner, self.size, self.hot, self.own = {}, 0, 0, 0

    def add(self, path, size, hot):
        self.size += size
        self.hot += hot
        if path:
            self.inner.setdefault(path[0], Module()).add(path[1:], size, hot)
        else:
            self.own += size

    def patterns(self, name=""):
        """What to write for the functions that run, and the bytes that it stands for."""
        if not self.hot:
            return [], 0
        found = [inner.patterns(name + part) for part, inner in self.inner.items()]
        lines = sum((lines for lines, _ in found), [name + "17h*"] if self.own and name.startswith("_ZN") else [name] if self.own else [])
        size = sum(size for _, size in found) + self.own
        is_module = name.startswith("_ZN") and name != "_ZN"
        if is_module and self.inner and self.size + LINE <= size + LINE * len(lines):
            return [name + "*"], self.size
        return lines, size


def main():
    program, bench = sys.argv[1:]
    symbols = subprocess.run(["nm", "--print-size", "--defined-only", program], check=True, capture_output=True, text=True).stdout
    sizes = {line[3]: int(line[1], 16) for line in map(str.split, symbols.splitlines()) if len(line) == 4 and line[2] in "tT"}
    paths = {symbol: parts(symbol) for symbol in sizes}
    lines = []
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with tempfile.TemporaryDirectory() as home, subprocess.Popen([bench, "--as-server"], **pipes) as process:
        server = json.loads(process.stdout.readline())
        for runs in RUNS:
            # The second time, what the first has stored is read.
            ran = set().union(*(executed(program, server, home, *run) for run in runs + runs))
            tree = Module()
            for symbol, path in paths.items():
                tree.add(path, sizes[symbol], sizes[symbol] if symbol in ran else 0)
            patterns, size = tree.patterns()
            lines += sorted(patterns)
            # What stands in the file already does not run a second time.
            matcher = re.compile("|".join(re.escape(pattern).replace(r"\*", ".*") for pattern in patterns) or "$^")
            paths = {symbol: path for symbol, path in paths.items() if not matcher.fullmatch(symbol)}
            print(f"{size} bytes, {len(patterns)} lines for {runs}")
        process.stdin.close()
    sections = "".join(f"    *(.text*.{line})\n" for line in lines)
    text = f"/* Written by .github/package/startup.py; src/build.rs says what for. */\nSECTIONS {{\n  .text.start : {{\n{sections}  }}\n}}\nINSERT AFTER .text;\n"
    (ROOT / "src/startup.ld").write_text(text)


main()
