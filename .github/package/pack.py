#!/usr/bin/env python3
"""Makes every package of a release from the programs that were built.

    pack.py BINARIES OUT [--only TARGET]   packages of the programs BINARIES/TARGET/mcp-tether[.exe], in the new folder OUT
    pack.py --flags                        flags for CARGO_ENCODED_RUSTFLAGS that keep the paths of this computer out of a program
    pack.py --matrix                       the targets as JSON, for the workflow
    pack.py --tag v1.2.3                   fails unless this is the version of Cargo.toml

Wants Python 3.11, cargo and the repository. Names, versions and targets come from Cargo.toml alone. The same input gives the same bytes:
entries are sorted and dates are fixed. With --only, the rehearsal, one target is packed; the bundle then holds that program alone, and
the container image is left out if it needs another one. Without it, these are errors: a missing program, one that wants a newer glibc,
and one that holds paths of the computer that built it.
"""

import argparse
import base64
import functools
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SERVER_SCHEMA = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"
# The first date that a zip file can hold: 1980-01-01.
DATE = 315532800
# The Linux program of the bundle for MCP clients, the best one first: the static one starts everywhere.
BUNDLED_LINUX = ["x86_64-unknown-linux-musl", "x86_64-unknown-linux-gnu"]
BUNDLED_WINDOWS = "x86_64-pc-windows-msvc"
BUNDLED_MACOS = ["x86_64-apple-darwin", "aarch64-apple-darwin"]
IMAGES = {"amd64": "x86_64-unknown-linux-musl", "arm64": "aarch64-unknown-linux-musl"}


def fail(message):
    """Ends the program with an error."""
    sys.exit(f"pack.py: {message}")


def cargo(*arguments):
    """Runs cargo, and returns its output."""
    done = subprocess.run(["cargo", *arguments, "--locked"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        fail(f"cargo {' '.join(arguments)} failed:\n{done.stderr}")
    return done.stdout


def cargo_home():
    """The folder in which cargo keeps the sources of crates."""
    return Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo")


def sha256(content):
    """The SHA-256 of bytes, in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def dump(document):
    """A JSON document as bytes."""
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


@dataclass
class File:
    """A file of an archive."""

    name: str
    content: bytes
    is_program: bool = False

    @property
    def mode(self):
        return 0o755 if self.is_program else 0o644


def tar_gz(files):
    """A tar archive, compressed: sorted, without owners, of a fixed date."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for file in sorted(files, key=lambda file: file.name):
            entry = tarfile.TarInfo(file.name)
            entry.size, entry.mode, entry.mtime = len(file.content), file.mode, DATE
            archive.addfile(entry, io.BytesIO(file.content))
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", fileobj=packed, mode="wb", compresslevel=9, mtime=0) as stream:
        stream.write(raw.getvalue())
    return packed.getvalue()


def zipped(files):
    """A zip archive: in the given order, of a fixed date, with Unix permissions."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for file in files:
            entry = zipfile.ZipInfo(file.name, (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # Unix, whatever system this runs on
            entry.external_attr = (0o100000 | file.mode) << 16
            archive.writestr(entry, file.content)
    return packed.getvalue()


def universal(programs):
    """One macOS program of several, each for another processor: the `fat_header` of <mach-o/fat.h> and the programs behind it."""
    alignment = 14  # pages of 16 KiB, as for arm64
    entries, bodies, offset = b"", b"", 1 << alignment
    for program in programs:
        magic, processor, subtype = struct.unpack_from("<III", program)
        if magic != 0xFEEDFACF:
            fail("a macOS program is not a 64-bit Mach-O file")
        bodies += b"\0" * (offset - (1 << alignment) - len(bodies)) + program
        entries += struct.pack(">IIIII", processor, subtype, offset, len(program), alignment)
        offset = (offset + len(program) + (1 << alignment) - 1) >> alignment << alignment
    header = struct.pack(">II", 0xCAFEBABE, len(programs)) + entries
    return header.ljust(1 << alignment, b"\0") + bodies


class Target:
    """A target of the table in Cargo.toml, and its program."""

    def __init__(self, triple, row):
        self.triple, self.row = triple, row
        self.npm, self.wheel = row["npm"], row["wheel"]
        self.is_windows = "-windows-" in triple
        self.program = b""

    @property
    def executable(self):
        return "mcp-tether.exe" if self.is_windows else "mcp-tether"

    def newer_glibc(self):
        """The glibc that the program wants, if the table promises an older one. The versions are among the names of its symbols."""
        version = lambda text: tuple(map(int, text.split(".")))
        wanted = [match.decode() for match in re.findall(rb"\0GLIBC_(\d+(?:\.\d+)+)(?=\0)", self.program)]
        newest = max(wanted, key=version, default="0")
        return newest if "glibc" in self.row and version(newest) > version(self.row["glibc"]) else None

    def foreign_path(self):
        """A path of a computer that the program holds: the sources of crates below any cargo home, or a folder of this computer."""
        folders = {str(folder).encode() for folder in (Path.home(), cargo_home(), ROOT) if len(folder.parts) > 1}
        marks = [re.escape(folder) + rb"[/\\]" for folder in sorted(folders)] + [rb"[/\\]registry[/\\]src[/\\]"]
        found = re.search(rb"[ -~]{,60}(?:%s)[ -~]{,40}" % b"|".join(marks), self.program)
        return found and found[0].decode()

    def objections(self):
        """What keeps the program out of a release."""
        if newer := self.newer_glibc():
            yield f"wants glibc {newer}, and the table promises {self.row['glibc']}"
        if found := self.foreign_path():
            yield (
                f"holds a path of the computer that built it: {found}\n"
                'Build it again with CARGO_ENCODED_RUSTFLAGS="$(.github/package/pack.py --flags)"'
            )

    def conditions(self):
        """The fields by which npm decides whether to install the package: `os`, `cpu`, and on Linux `libc`."""
        system, processor = self.npm.split("-")[:2]
        found = {"os": [system], "cpu": [processor]}
        if system == "linux":
            found["libc"] = ["musl" if self.triple.endswith("-musl") else "glibc"]
        return found


class Project:
    """The program as Cargo.toml describes it, and the crates that it is linked from."""

    def __init__(self):
        metadata = json.loads(cargo("metadata", "--format-version", "1"))
        self.packages = {(package["name"], package["version"]): package for package in metadata["packages"]}
        self.package = next(package for package in metadata["packages"] if package["id"] == metadata["resolve"]["root"])
        self.name, self.version = self.package["name"], self.package["version"]
        self.build_folder = metadata["target_directory"]
        self.repository = self.package["repository"]
        lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
        self.checksums = {(entry["name"], entry["version"]): entry.get("checksum") for entry in lock["package"]}
        table = self.package["metadata"]["package"]["targets"]
        self.targets = [Target(triple, row) for triple, row in table.items()]
        self.owner = self.repository.removeprefix("https://github.com/").split("/")[0]
        self.mcp_name = f"io.github.{self.owner}/{self.name}"
        # The MCP Registry takes 100 characters; the part behind the colon is for search engines.
        self.summary = self.package["description"].split(":")[0]
        self.readme = self.absolute_links((ROOT / "README.md").read_text(encoding="utf-8"))
        self.license = (ROOT / "LICENSE").read_bytes()

    def flags(self):
        """Flags of rustc that replace the folders of this computer in messages of panics; of several that apply, the last counts."""
        manifests = (Path(package["manifest_path"]) for package in self.packages.values() if package["source"])
        sources = {str(manifest.parent.parent) for manifest in manifests}
        replaced = {str(cargo_home()): "/cargo", str(ROOT): f"/{self.name}", self.build_folder: f"/{self.name}/target"}
        replaced |= {folder: "/crates" for folder in sorted(sources)}
        return [f"--remap-path-prefix={folder}={name}" for folder, name in replaced.items()]

    def absolute_links(self, text):
        """The README with links that also work outside the repository."""
        raw = self.repository.replace("https://github.com/", "https://raw.githubusercontent.com/")
        text = re.sub(r"(!\[[^\]]*\]\()(?!\w+:|#)", rf"\g<1>{raw}/v{self.version}/", text)
        return re.sub(r"((?<!!)\[[^\]]*\]\()(?!\w+:|#)", rf"\g<1>{self.repository}/blob/v{self.version}/", text)

    @functools.cache
    def linked(self, target):
        """The crates that are linked into the program, each with those that it uses; the first is the program."""
        # `cargo metadata` unifies the features of tests; `cargo tree` does not.
        lines = cargo(
            "tree", "--edges", "normal,no-proc-macro", "--target", target.triple, "--prefix", "depth", "--format", " {p}"
        ).splitlines()
        uses, path = {}, []
        for line in lines:
            depth, name, version = line.split()[:3]
            crate = (name, version.removeprefix("v"))
            path[int(depth) :] = [crate]
            uses.setdefault(crate, set())
            if len(path) > 1:
                uses[path[-2]].add(crate)
        return uses

    def licenses(self, target):
        """The licences of everything that is linked in, the texts that several crates share once."""
        crates, texts = [], {}
        for crate in sorted(self.linked(target).keys() - {(self.name, self.version)}):
            package = self.packages[crate]
            label = f"{crate[0]} {crate[1]}"
            crates.append(f"{label}: {expression(package)}\n    {package['repository'] or package['homepage'] or ''}".rstrip())
            folder = Path(package["manifest_path"]).parent
            for path in sorted(folder.iterdir()):
                if re.match(r"(LICEN[CS]E|COPYING|COPYRIGHT|NOTICE|UNLICENSE)", path.name, re.IGNORECASE) and path.is_file():
                    text = path.read_text(encoding="utf-8", errors="replace").replace("\r\n", "\n").strip()
                    texts.setdefault(text, []).append(label)
        rule = "\n\n" + "=" * 100 + "\n"
        parts = [
            f"{self.name} {self.version} for {target.triple} contains the following crates, and the standard library of Rust"
            " (MIT OR Apache-2.0).\nThe source of each crate is in its repository and on crates.io.\n\n" + "\n".join(crates)
        ]
        parts += [f"{', '.join(labels)}\n\n{text}" for text, labels in sorted(texts.items(), key=lambda item: item[1])]
        return (rule.join(parts) + "\n").encode()

    def bill(self, target):
        """The bill of materials in CycloneDX 1.5, without the date and the serial number, which would differ each time."""
        uses = self.linked(target)
        reference = lambda crate: f"pkg:cargo/{crate[0]}@{crate[1]}"

        def component(crate):
            package, checksum = self.packages[crate], self.checksums.get(crate)
            found = {
                "type": "library",
                "bom-ref": reference(crate),
                "name": crate[0],
                "version": crate[1],
                "licenses": [{"expression": expression(package)}],
                "purl": reference(crate),
            }
            if checksum:
                found["hashes"] = [{"alg": "SHA-256", "content": checksum}]
            return found

        own = (self.name, self.version)
        return dump(
            {
                "bomFormat": "CycloneDX",
                "specVersion": "1.5",
                "version": 1,
                "metadata": {
                    "component": component(own) | {"type": "application"},
                    "properties": [{"name": "target", "value": target.triple}],
                },
                "components": [component(crate) for crate in sorted(uses.keys() - {own})],
                "dependencies": [
                    {"ref": reference(crate), "dependsOn": sorted(map(reference, used))} for crate, used in sorted(uses.items())
                ],
            }
        )


def expression(package):
    """The licence of a crate as an SPDX expression; old manifests have a slash for OR."""
    return re.sub(r"\s*/\s*", " OR ", package["license"] or "NOASSERTION")


class Packer:
    """Writes the packages into a folder."""

    def __init__(self, project, out):
        self.project, self.out = project, out
        self.released = []

    def write(self, name, content, is_released=False):
        """Writes a file; the released ones are listed in SHA256SUMS, and are what a release on GitHub holds."""
        path = self.out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        if is_released:
            self.released.append(path)

    def manifest(self, name, description):
        """The fields that the package.json of every npm package has."""
        project = self.project
        return {
            "name": name,
            "version": project.version,
            "description": description,
            "license": project.package["license"],
            "repository": {"type": "git", "url": f"git+{project.repository}.git"},
            "homepage": f"{project.repository}#readme",
            "publishConfig": {"access": "public"},
        }

    def npm(self, name, files):
        """Writes an npm package, as `npm pack` would."""
        file = name.removeprefix("@").replace("/", "-")
        content = tar_gz([File(f"package/{file.name}", file.content, file.is_program) for file in files])
        self.write(f"npm/{file}-{self.project.version}.tgz", content)

    def npm_platform(self, target, licenses):
        """The npm package that holds the program of a target."""
        manifest = self.manifest(f"@{self.project.name}/{target.npm}", f"The program of {self.project.name} for {target.triple}")
        # Otherwise Yarn keeps the package in a zip file, from which no program can be started.
        manifest |= target.conditions() | {"preferUnplugged": True}
        files = [File(target.executable, target.program, True), File("package.json", dump(manifest))]
        self.npm(manifest["name"], files + self.notices(licenses))

    def npm_main(self):
        """The npm package that the user installs: the launcher, and one optional dependency for each target."""
        project = self.project
        manifest = self.manifest(project.name, project.package["description"])
        manifest |= {
            "keywords": project.package["keywords"],
            "mcpName": project.mcp_name,
            "type": "commonjs",
            "bin": {project.name: "bin/launcher.js"},
            "engines": {"node": ">=18"},
            "optionalDependencies": {f"@{project.name}/{target.npm}": project.version for target in project.targets},
        }
        launcher = File("bin/launcher.js", (HERE / "launcher.js").read_bytes(), True)
        readme = File("README.md", project.readme.encode())
        self.npm(project.name, [launcher, File("package.json", dump(manifest)), readme, File("LICENSE", project.license)])

    def notices(self, licenses):
        """The licence of the program and those of what it contains."""
        return [File("LICENSE", self.project.license), File("THIRD-PARTY-LICENSES.txt", licenses)]

    def wheel(self, target, licenses, bill):
        """The wheel: the program as a script, and what is said of it."""
        project = self.project
        name = project.name.replace("-", "_")
        stem = f"{name}-{project.version}"
        information = f"{stem}.dist-info"
        metadata = [
            "Metadata-Version: 2.4",
            f"Name: {project.name}",
            f"Version: {project.version}",
            f"Summary: {project.package['description']}",
            f"Keywords: {','.join(project.package['keywords'])}",
            f"License-Expression: {project.package['license']}",
            "License-File: LICENSE",
            "License-File: THIRD-PARTY-LICENSES.txt",
            "Requires-Python: >=3.8",
            f"Project-URL: Source, {project.repository}",
            "Description-Content-Type: text/markdown; charset=UTF-8",
            "",
            project.readme,
        ]
        tags = "".join(f"Tag: py3-none-{tag}\n" for tag in target.wheel.split("."))
        files = [
            File(f"{stem}.data/scripts/{target.executable}", target.program, True),
            File(f"{information}/METADATA", "\n".join(metadata).encode()),
            File(f"{information}/WHEEL", f"Wheel-Version: 1.0\nGenerator: pack.py\nRoot-Is-Purelib: false\n{tags}".encode()),
            File(f"{information}/sboms/{project.name}.cdx.json", bill),
        ]
        files += [File(f"{information}/licenses/{file.name}", file.content) for file in self.notices(licenses)]
        record = ""
        for file in files:
            digest = base64.urlsafe_b64encode(hashlib.sha256(file.content).digest()).rstrip(b"=").decode()
            record += f"{file.name},sha256={digest},{len(file.content)}\n"
        files.append(File(f"{information}/RECORD", f"{record}{information}/RECORD,,\n".encode()))
        self.write(f"wheels/{stem}-py3-none-{target.wheel}.whl", zipped(files))

    def archive(self, target, licenses, bill):
        """The archive of a release: the program with everything that belongs to it. Returns its name and its SHA-256."""
        stem = f"{self.project.name}-{self.project.version}-{target.triple}"
        files = [File(target.executable, target.program, True), File("README.md", self.project.readme.encode())]
        files += self.notices(licenses)
        for path in sorted((ROOT / "examples/completions").iterdir()):
            files.append(File(f"completions/{path.name}", path.read_bytes()))
        files = [File(f"{stem}/{file.name}", file.content, file.is_program) for file in files]
        name, content = (f"{stem}.zip", zipped(files)) if target.is_windows else (f"{stem}.tar.gz", tar_gz(files))
        self.write(f"archives/{name}", content, is_released=True)
        self.write(f"archives/{stem}.cdx.json", bill, is_released=True)
        return name, sha256(content)

    def installer(self, archives):
        """install.sh, which knows the version and the checksums of its release."""
        sums = "\n".join(f"{digest}  {name}" for name, digest in archives if name.endswith(".tar.gz"))
        script = (HERE / "install.sh").read_text()
        for key, value in {"@VERSION@": self.project.version, "@REPOSITORY@": self.project.repository, "@SHA256SUMS@": sums}.items():
            if script.count(key) != 1:
                fail(f"install.sh does not hold {key} once")
            script = script.replace(key, value)
        self.write("install.sh", script.encode(), is_released=True)

    def bundle(self, programs, licenses):
        """The bundle for MCP clients, one file for all systems."""
        manifest = json.loads((ROOT / "examples/mcpb/manifest.json").read_text())
        manifest["version"] = self.project.version
        linux = next((programs[triple] for triple in BUNDLED_LINUX if triple in programs), None)
        macos = [programs[triple] for triple in BUNDLED_MACOS if triple in programs]
        contained = {
            "linux": linux,
            "win32": programs.get(BUNDLED_WINDOWS),
            "darwin": universal(macos) if len(macos) == len(BUNDLED_MACOS) else None,
        }
        contained = {system: program for system, program in contained.items() if program}
        if not contained:
            return print("pack.py: no bundle for MCP clients: none of its programs is there")
        server = manifest["server"]
        commands = {"linux": server["mcp_config"]["command"]} | {
            system: override["command"] for system, override in server["mcp_config"]["platform_overrides"].items()
        }
        files = [
            File(commands[system].removeprefix("${__dirname}/"), program, True) for system, program in contained.items()
        ]
        # The rehearsal has one system; the manifest then names no other.
        manifest["compatibility"]["platforms"] = [s for s in manifest["compatibility"]["platforms"] if s in contained]
        overrides = server["mcp_config"]["platform_overrides"]
        server["mcp_config"]["platform_overrides"] = {system: overrides[system] for system in overrides if system in contained}
        files = [File("manifest.json", dump(manifest)), *files, *self.notices(licenses)]
        self.write(f"{self.project.name}-{self.project.version}.mcpb", zipped(files), is_released=True)

    def server(self):
        """server.json, for the MCP Registry."""
        project = self.project
        access = "of a service token of Cloudflare Access"
        document = {
            "$schema": SERVER_SCHEMA,
            "name": project.mcp_name,
            "title": project.name,
            "description": project.summary,
            "version": project.version,
            "repository": {"url": project.repository, "source": "github"},
            "packages": [
                {
                    "registryType": "npm",
                    "identifier": project.name,
                    "version": project.version,
                    "runtimeHint": "npx",
                    "transport": {"type": "stdio"},
                    "packageArguments": [
                        {
                            "type": "positional",
                            "valueHint": "url",
                            "description": "URL of the remote MCP server",
                            "placeholder": "https://mcp.example.com/mcp",
                            "isRequired": True,
                        }
                    ],
                    "environmentVariables": [
                        {"name": "CF_ACCESS_CLIENT_ID", "description": f"Client ID {access}", "isRequired": False},
                        {
                            "name": "CF_ACCESS_CLIENT_SECRET",
                            "description": f"Client secret {access}",
                            "isRequired": False,
                            "isSecret": True,
                        },
                    ],
                }
            ],
        }
        if len(document["description"]) > 100:
            fail("the first part of the description in Cargo.toml is longer than 100 characters")
        self.write("server.json", dump(document), is_released=True)

    def images(self, programs, licenses):
        """The build context of the container image; `docker build` selects the program by TARGETARCH."""
        found = {processor: programs[triple] for processor, triple in IMAGES.items() if triple in programs}
        if not found:
            return print("pack.py: no container image: the static Linux programs are not there")
        self.write("image/Dockerfile", (HERE / "Dockerfile").read_bytes())
        self.write("image/THIRD-PARTY-LICENSES.txt", licenses)
        for processor, program in found.items():
            self.write(f"image/{processor}/{self.project.name}", program)

    def sums(self):
        """SHA256SUMS of what a release holds."""
        lines = (f"{sha256(path.read_bytes())}  {path.name}\n" for path in sorted(self.released, key=lambda path: path.name))
        self.write("SHA256SUMS", "".join(lines).encode())


def main():
    parser = argparse.ArgumentParser(description="Makes every package of a release.")
    parser.add_argument("binaries", nargs="?", type=Path, help="folder with TARGET/mcp-tether[.exe]")
    parser.add_argument("out", nargs="?", type=Path, help="folder to write to; must not exist")
    parser.add_argument("--only", metavar="TARGET", help="pack one target, to rehearse")
    parser.add_argument("--flags", action="store_true", help="print the value of CARGO_ENCODED_RUSTFLAGS for a build")
    parser.add_argument("--matrix", action="store_true", help="print the targets as JSON")
    parser.add_argument("--tag", help="fail unless it is the version of Cargo.toml")
    chosen = parser.parse_args()
    project = Project()
    if chosen.tag is not None and chosen.tag != f"v{project.version}":
        fail(f"the tag {chosen.tag} is not v{project.version}, the version of Cargo.toml")
    if chosen.matrix:
        print(json.dumps([{"target": target.triple, "executable": target.executable} | target.row for target in project.targets]))
    if chosen.flags:
        # This separator is the one that cargo reads; a path may have spaces.
        print("\x1f".join(project.flags()))
    if chosen.flags or chosen.matrix or chosen.tag is not None:
        return
    if chosen.binaries is None or chosen.out is None:
        parser.error("BINARIES and OUT are needed")
    targets = [target for target in project.targets if chosen.only in (None, target.triple)]
    if not targets:
        fail(f"{chosen.only} is not in the table of Cargo.toml")
    for target in targets:
        path = chosen.binaries / target.triple / target.executable
        if not path.is_file():
            fail(f"{path} is not there")
        target.program = path.read_bytes()
        for reason in target.objections():
            # A build of this computer is good enough to rehearse with.
            print(f"pack.py: {path} {reason}", file=sys.stderr) if chosen.only else fail(f"{path} {reason}")
    if chosen.out.exists():
        fail(f"{chosen.out} exists")
    packer = Packer(project, chosen.out)
    licenses = {target.triple: project.licenses(target) for target in targets}
    programs = {target.triple: target.program for target in targets}
    archives = []
    for target in targets:
        bill = project.bill(target)
        packer.npm_platform(target, licenses[target.triple])
        packer.wheel(target, licenses[target.triple], bill)
        archives.append(packer.archive(target, licenses[target.triple], bill))
    packer.npm_main()
    packer.installer(archives)
    everything = max(licenses.values(), key=len)
    packer.bundle(programs, everything)
    packer.images(programs, everything)
    packer.server()
    packer.sums()
    for path in sorted(path for path in chosen.out.rglob("*") if path.is_file()):
        print(f"{path.stat().st_size:>10}  {path.relative_to(chosen.out).as_posix()}")


if __name__ == "__main__":
    main()
