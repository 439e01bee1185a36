"""Compiles the kernels for GPUs with the vendors' compilers and judges their machine code.

Used by gpu-compilers.sh.
"""

import argparse
import concurrent.futures
import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

CLC = pathlib.Path("/usr/lib/clc")
LARGEST_LOCAL_BYTES = 32 * 1024

NVIDIA = ["sm_70", "sm_80", "sm_90"]
AMD = ["gfx90a", "gfx1030", "gfx1100"]
# An integrated and a discrete GPU, both without f64, and one for data centres, which has it.
INTEL_WITHOUT_F64 = ["tgllp", "dg2"]
INTEL_WITH_F64 = ["pvc"]

# What the driver says is the least sub-group; the host hands it to the product (SUB_GROUP).
INTEL_SUB_GROUPS = {"tgllp": 8, "dg2": 8, "pvc": 16}

# Scratch memory that is let pass: Intel's compiler makes 32 lanes of kernels with f64's longest
# functions. Nothing trains in f64.
EXCUSED = {("norm-f64", "pvc")}

# The matrix product, whose loop over the inner axis is judged: the elements of out that a work-item
# of a tile computes, and the least share of multiply-adds among the loop's instructions. The small
# tile is for products that are too few to fill a device: it waits for memory.
PRODUCT = "matmul_tiles"
WORK = {128: 64, 64: 32, 32: 16}
LEAST_SHARE = {128: 0.85, 64: 0.79, 32: 0.70}
# Without alignment each number is fetched by itself.
LESS_UNALIGNED = 0.03
# Of its groups, two must have room on a multiprocessor of sm_80 and later: work-items of a group,
# and a multiprocessor's warps of 32 that are then resident.
GROUP_ITEMS = {128: 256, 64: 128, 32: 64}
LEAST_WARPS = {tile: 2 * items // 32 for tile, items in GROUP_ITEMS.items()}


@dataclasses.dataclass
class Kernel:
    """What a compiler says of a kernel."""

    program: str
    name: str
    chip: str
    registers: int = 0
    local_bytes: int = 0
    # Bytes of spilled registers and of arrays in memory, a work-item.
    scratch_bytes: int = 0
    # Warps of a multiprocessor (NVIDIA), waves of a SIMD (AMD), lanes of a thread (Intel).
    resident: int = 0


class Refused(Exception):
    """A compiler's refusal, with its words."""


def run(command, **settings):
    """Standard output and error of a command; raises Refused if it fails."""
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False, **settings
    )
    said = done.stdout + done.stderr
    if done.returncode != 0:
        lines = [
            line
            for line in said.splitlines()
            if "error" in line.lower() or "unresolved" in line.lower()
        ]
        raise Refused("\n".join((lines or said.splitlines())[:5]))
    return said


def first_line(tool):
    """What a compiler says of its version."""
    return run([tool, "--version"]).splitlines()[0].strip()


def options_of(source):
    """The options that the host passes, for clang."""
    return source.with_suffix(".options").read_text().replace("-D ", "-D").split()


class Nvidia:
    """clang to PTX, ptxas to machine code, nvdisasm to a listing."""

    chips = NVIDIA

    def __init__(self, clang, folder):
        tools = folder / "nvidia" / "nvidia"
        self.clang, self.ptxas = clang, tools / "cuda_nvcc" / "bin" / "ptxas"
        self.nvdisasm = tools / "cu13" / "bin" / "nvdisasm"

    def missing(self):
        tools = [self.clang, self.ptxas, self.nvdisasm]
        return [str(tool) for tool in tools if not shutil.which(tool)]

    def version(self):
        ptxas = re.search(r"V[\d.]+", run([self.ptxas, "--version"]))
        return f"{first_line(self.clang)}, ptxas {ptxas[0] if ptxas else '?'}"

    @staticmethod
    def takes(source):
        """All of NVIDIA's and AMD's GPUs have f64."""
        return not source.stem.endswith("_alone")

    def compile(self, source, scratch):
        """Every kernel of a program on every chip, and listings of the product by chip."""
        if not self.takes(source):
            return [], {}
        ptx = scratch / f"{source.stem}.ptx"
        run(
            [
                self.clang,
                "-target",
                "nvptx64-nvidia-nvcl",
                "-march=sm_70",
                *COMMON,
                *bitcode("nvptx64--nvidiacl"),
                *options_of(source),
                "-S",
                "-o",
                ptx,
                source,
            ]
        )
        kernels, listings = [], {}
        for chip in self.chips:
            code = ptx.with_suffix(f".{chip}")
            said = run([self.ptxas, "-v", f"-arch={chip}", "-o", code, ptx])
            kernels += self.read(said, source.stem, chip)
            # nvdisasm does not know sm_70 any more.
            if source.stem.startswith(PRODUCT) and chip != "sm_70":
                listings[chip] = run([self.nvdisasm, "-c", code])
        return kernels, listings

    @staticmethod
    def read(said, program, chip):
        kernels, stacks = [], {}
        for line in said.splitlines():
            if entry := re.search(r"Compiling entry function '(\w+)'", line):
                kernels.append(Kernel(program, entry[1], chip))
            elif function := re.search(r"Function properties for (\w+)", line):
                properties_of = function[1]
            elif stack := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores", line):
                stacks[properties_of] = int(stack[1]) + int(stack[2])
            elif used := re.search(r"Used (\d+) registers", line):
                kernels[-1].registers = int(used[1])
                local = re.search(r"(\d+) bytes smem", line)
                kernels[-1].local_bytes = int(local[1]) if local else 0
                # 65536 registers, given to warps of 32 in eights; at most 64 warps.
                kernels[-1].resident = min(64, 65536 // (32 * (-(-int(used[1]) // 8) * 8)))
        entries = {kernel.name for kernel in kernels}
        of_functions = max(
            (bytes for name, bytes in stacks.items() if name not in entries), default=0
        )
        for kernel in kernels:
            kernel.scratch_bytes = max(stacks.get(kernel.name, 0), of_functions)
        return kernels


class Amd:
    """clang to machine code."""

    chips = AMD

    def __init__(self, clang, _folder):
        self.clang = clang

    def missing(self):
        return [] if shutil.which(self.clang) else [self.clang]

    def version(self):
        return first_line(self.clang)

    takes = staticmethod(Nvidia.takes)

    def compile(self, source, scratch):
        if not self.takes(source):
            return [], {}
        kernels, listings = [], {}
        for chip in self.chips:
            listing = scratch / f"{source.stem}.{chip}.s"
            said = run(
                [
                    self.clang,
                    "-target",
                    "amdgcn-amd-amdhsa",
                    f"-mcpu={chip}",
                    "-nogpulib",
                    *COMMON,
                    *bitcode("amdgcn--amdhsa"),
                    *options_of(source),
                    "-Rpass-analysis=kernel-resource-usage",
                    "-fno-caret-diagnostics",
                    "-S",
                    "-o",
                    listing,
                    source,
                ]
            )
            text = listing.read_text()
            # The assembler's output names what it can't find only where it is used; the linker
            # would refuse.
            defined = set(re.findall(r"^(\w+):", text, re.MULTILINE))
            if unresolved := set(re.findall(r"(\w+)@(?:gotpc)?rel32", text)) - defined:
                raise Refused(f"unresolved: {', '.join(sorted(unresolved))}")
            kernels += self.read(said, source.stem, chip)
            if source.stem.startswith(PRODUCT):
                listings[chip] = text
        return kernels, listings

    @staticmethod
    def read(said, program, chip):
        kernels = []
        for name, value in re.findall(r"remark:\s+([\w ]+)(?: \[[\w/]+\])?: (\w+) \[-Rpass", said):
            if name == "Function Name":
                kernels.append(Kernel(program, value, chip))
            elif name == "VGPRs":
                kernels[-1].registers = int(value)
            elif name == "LDS Size":
                kernels[-1].local_bytes = int(value)
            elif name == "Occupancy":
                kernels[-1].resident = int(value)
            elif name in ("ScratchSize", "VGPRs Spill"):
                kernels[-1].scratch_bytes += int(value)
        return kernels


class Intel:
    """ocloc to a device's binary, which it takes apart again.

    The numbers are those of the binary's patch tokens.
    """

    chips = INTEL_WITHOUT_F64 + INTEL_WITH_F64
    LOCAL_MEMORY, SPILLS, ENVIRONMENT, PRIVATE_MEMORY = 15, (18, 55), 23, 38

    def __init__(self, _clang, folder):
        self.root = folder / "intel" / "usr"
        self.ocloc = self.root / "bin" / "ocloc"
        self.environment = {
            **os.environ,
            "LD_LIBRARY_PATH": str(self.root / "lib" / "x86_64-linux-gnu"),
        }

    def missing(self):
        return [] if shutil.which(self.ocloc) else [str(self.ocloc)]

    def version(self):
        """The size of the compiler proper, since ocloc does not tell its version."""
        (library,) = self.root.glob("lib/*/libigc.so.1")
        return f"libigc of {library.stat().st_size} bytes"

    @staticmethod
    def takes(source):
        return not (source.stem.startswith(f"{PRODUCT}-128-") and source.stem.endswith("_alone"))

    def compile(self, source, scratch):
        kernels = []
        for chip in INTEL_WITHOUT_F64 if source.stem.endswith("_alone") else INTEL_WITH_F64:
            # The host takes smaller tiles there.
            if source.stem.startswith(f"{PRODUCT}-128-") and INTEL_SUB_GROUPS[chip] == 8:
                continue
            out = scratch / f"{source.stem}-{chip}"
            out.mkdir()
            said = run(
                [
                    self.ocloc,
                    "compile",
                    "-file",
                    source,
                    "-device",
                    chip,
                    "-options",
                    " ".join([*options_of(source), f"-DSUB_GROUP={INTEL_SUB_GROUPS[chip]}"]),
                    "-out_dir",
                    out,
                    "-output",
                    "program",
                ],
                env=self.environment,
            )
            spilled = re.findall(
                r"kernel (\w+) +compiled \w+ allocated \d+ regs and spilled around (\d+)", said
            )
            (binary,) = out.glob("*.bin")
            dump = out / "parts"
            dump.mkdir()
            run(
                [self.ocloc, "disasm", "-file", binary, "-device", chip, "-dump", dump],
                env=self.environment,
            )
            kernels += self.read((dump / "PTM.txt").read_text(), source.stem, chip)
            for kernel in kernels:
                kernel.scratch_bytes += sum(
                    32 * int(registers) for name, registers in spilled if name == kernel.name
                )
        return kernels, {}

    def read(self, text, program, chip):
        kernels, token = [], 0
        for line in text.splitlines():
            words = line.split()
            if words[:1] == ["KernelName"]:
                # 128 registers of 32 bytes are every thread's.
                kernels.append(Kernel(program, words[1], chip, registers=128))
            elif words[1:2] == ["Token"]:
                token = int(words[2])
            elif words[:1] == ["Hex"] and kernels:
                raw = bytes(int(word, 16) for word in words[1:])
                numbers = [
                    int.from_bytes(raw[at : at + 4], "little") for at in range(0, len(raw), 4)
                ]
                if token == self.LOCAL_MEMORY:
                    kernels[-1].local_bytes = numbers[1]
                elif token == self.PRIVATE_MEMORY:
                    kernels[-1].scratch_bytes += numbers[3]
                elif token in self.SPILLS:
                    kernels[-1].scratch_bytes += numbers[1]
                elif token == self.ENVIRONMENT:
                    kernels[-1].resident = numbers[3]
        return kernels


COMMON = ["-x", "cl", "-cl-std=CL1.2", "-O3", "-Xclang", "-finclude-default-header"]


def bitcode(name):
    """The functions of OpenCL for a target, from libclc."""
    return ["-Xclang", "-mlink-builtin-bitcode", "-Xclang", CLC / f"{name}.bc"]


def loops(instructions, labels, branch):
    """The bodies that a backward branch closes; `labels` are places in `instructions`."""
    for at, line in enumerate(instructions):
        if (target := branch(line)) is not None and labels.get(target, at + 1) <= at:
            yield instructions[labels[target] : at + 1]


MULTIPLY_ADD = r"FFMA|DFMA|v_(?:dual_|pk_)?fma"


def count(body, pattern):
    return sum(re.match(pattern, line) is not None for line in body)


def multiply_adds(body):
    """Multiply-adds of a work-item; an instruction of AMD's may hold two."""
    packed = 2 * count(body, "v_pk_fma")
    dual = sum(len(re.findall(r"v_dual_fma", line)) for line in body if line.startswith("v_dual"))
    return packed + dual + count(body, r"FFMA|DFMA|v_fma")


@dataclasses.dataclass
class Loop:
    """What a work-item does in a step along the inner axis."""

    program: str
    chip: str
    multiply_adds: int
    others: int
    wide_loads: int
    narrow_loads: int

    @property
    def share(self):
        return self.multiply_adds / (self.multiply_adds + self.others)


def product_loop(listing, program, chip):
    """The loop of the kernel `matmul` over the inner axis; raises Refused if there is none."""
    instructions, labels = [], {}
    nvidia = chip.startswith("sm_")
    kernel = (
        re.split(r"^//-+ \.text\.", listing, flags=re.MULTILINE)
        if nvidia
        else re.split(r"(?m)^(?=matmul:)", listing)
    )
    listing = next((text for text in kernel if re.match(r"matmul\b", text)), "")
    for line in listing.splitlines():
        line = line.strip() if nvidia else line.split(";")[0].strip()
        if line.startswith("s_endpgm"):
            break
        if label := re.match(r"\.?(L\w+):", line):
            labels[label[1]] = len(instructions)
        elif nvidia and (found := re.match(r"/\*[0-9a-f]+\*/\s+(?:@!?\w+\s+)?(.*?)\s*;", line)):
            instructions.append(found[1])
        # AMD's scalar instructions are left out: a unit of their own executes them meanwhile.
        elif not nvidia and re.match(r"(?!s_(?!cbranch|branch))[a-z]+_\w+", line):
            # The two halves of a dual instruction stand in a line.
            instructions.append(line.replace(":: v_dual_fmac", ":: v_dual_fma"))

    def branch(line):
        found = re.match(r"(?:BRA|s_c?branch\w*).*?\.?(L\w+)", line)
        return found[1] if found else None

    multiplying = [
        body for body in loops(instructions, labels, branch) if count(body, MULTIPLY_ADD)
    ]
    if not multiplying:
        raise Refused("no loop that multiplies")
    outer, inner = max(multiplying, key=len), min(multiplying, key=len)
    # A step may be a loop of its own: what is in it counts as often as it runs.
    tile = int(program.split("-")[1])
    step = 8 if tile == 128 else 16
    turns = WORK[tile] * step // multiply_adds(inner) if len(inner) < len(outer) else 1

    def times(number):
        return number(outer) + (turns - 1) * number(inner)

    packed = times(
        lambda body: count(body, "v_pk_fma") + sum(line.count("v_dual_fma") == 2 for line in body)
    )
    total = times(len)
    return Loop(
        program,
        chip,
        times(multiply_adds),
        total + packed - times(multiply_adds),
        times(lambda body: count(body, r"LDS\.128|ds_(?:load|read)\w*_b128")),
        times(lambda body: count(body, r"LDS(?!\.128)|ds_(?:load|read)(?!\w*_b128)")),
    )


def judge_product(kernels, listings, program):
    """The loops of a product in f32, and what is wrong with them."""
    found, wrong, tile = [], [], int(program.split("-")[1])
    for chip, listing in listings.items():
        loop = product_loop(listing, program, chip)
        found.append(loop)
        if loop.share < LEAST_SHARE[tile] - (0 if "-aligned" in program else LESS_UNALIGNED):
            wrong.append(f"{program} on {chip}: only {loop.share:.1%} of the inner loop multiplies")
        if loop.narrow_loads:
            wrong.append(f"{program} on {chip}: {loop.narrow_loads} narrow loads from local memory")
    for kernel in kernels:
        if (
            kernel.name == "matmul"
            and kernel.chip in NVIDIA[1:]
            and kernel.resident < LEAST_WARPS[tile]
        ):
            wrong.append(
                f"{program} on {kernel.chip}: {kernel.registers} registers, room for one group"
            )
    return found, wrong


def check(compiler, source, scratch):
    """Kernels, inner loops and what is wrong with a program."""
    loops_of_product = []
    try:
        kernels, listings = compiler.compile(source, scratch)
        wrong = []
        if source.stem.startswith(PRODUCT) and source.stem.endswith("-f32"):
            loops_of_product, wrong = judge_product(kernels, listings, source.stem)
    except Refused as refused:
        return [], [], [f"{source.stem}: {type(compiler).__name__}: {refused}"]
    if not kernels and compiler.takes(source):
        wrong.append(f"{source.stem}: {type(compiler).__name__}: no kernel in it")
    for kernel in kernels:
        where = f"{kernel.program}, {kernel.name} on {kernel.chip}"
        if kernel.scratch_bytes and (kernel.program, kernel.chip) not in EXCUSED:
            wrong.append(f"{where}: {kernel.scratch_bytes} bytes of scratch memory")
        if kernel.local_bytes > LARGEST_LOCAL_BYTES:
            wrong.append(f"{where}: {kernel.local_bytes} bytes of local memory")
    return kernels, loops_of_product, wrong


def doubles(source, clang):
    """Lines with a double after preprocessing, but for those of the compiler's own declarations."""
    text = run(
        [
            clang,
            "-target",
            "nvptx64-nvidia-nvcl",
            "-x",
            "cl",
            "-cl-std=CL1.2",
            "-E",
            *options_of(source),
            source,
        ]
    )
    own, found = False, []
    for line in text.splitlines():
        if marker := re.match(r'# \d+ "([^"]*)"', line):
            own = marker[1].endswith((".cl", ".rs"))
        elif own and re.search(r"\bdouble", line):
            found.append(f"{source.stem}: a double where there is none: {line.strip()[:100]}")
    return found


DEFECTS = {
    "unresolved": """
inline __attribute__((noinline)) float twice(const float x) {
    return 2 * sin(x) + pow(x, 3.1f);
}
kernel void k(global float *x) {
    x[0] = twice(x[1]) + twice(x[2]);
}
""",
    "scratch": """
kernel void k(global float *x, const uint n) {
    float sums[400];
    for (uint i = 0; i < 400; i++) sums[i] = x[i];
    for (uint i = 0; i < n; i++) sums[(uint)x[i] % 400] += 1;
    for (uint i = 0; i < 400; i++) x[i] = sums[i];
}
""",
    "local": """
kernel void k(global float *x) {
    local float shared_[10240];
    for (uint i = get_local_id(0); i < 10240; i += 32) shared_[i] = x[i];
    barrier(CLK_LOCAL_MEM_FENCE);
    x[get_local_id(0)] = shared_[(uint)x[0] % 10240];
}
""",
}


def self_test(compilers, scratch):
    """That each defect would be noticed.

    A plain inline function is one for NVIDIA and AMD; Intel's compiler takes all in.
    """
    for name, text in DEFECTS.items():
        source = scratch / f"defect_{name}.cl"
        source.write_text(text)
        source.with_suffix(".options").write_text("")
        for compiler in compilers:
            if name == "unresolved" and isinstance(compiler, Intel):
                continue
            if not check(compiler, source, scratch)[2]:
                sys.exit(
                    f"the defect {name!r} is not noticed with {type(compiler).__name__}'s compiler"
                )


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--clang", required=True)
    arguments.add_argument("--folder", type=pathlib.Path, required=True)
    arguments.add_argument("--update", action="store_true")
    arguments = arguments.parse_args()

    compilers = [kind(arguments.clang, arguments.folder) for kind in (Nvidia, Amd, Intel)]
    for compiler in compilers:
        if missing := compiler.missing():
            print(f"{type(compiler).__name__}: left out, there is no {', '.join(missing)}")
    compilers = [compiler for compiler in compilers if not compiler.missing()]
    if not compilers:
        print("no compiler for GPUs is to be had: nothing was checked")
        return
    sources = sorted((arguments.folder / "sources").glob("*.cl"))
    with (
        tempfile.TemporaryDirectory() as scratch,
        concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool,
    ):
        scratch = pathlib.Path(scratch)
        self_test(compilers, scratch)
        jobs = [
            pool.submit(check, compiler, source, scratch)
            for source in sources
            for compiler in compilers
        ]
        results = [job.result() for job in jobs]
        wrong = [problem for _, _, problems in results for problem in problems]
        if shutil.which(arguments.clang):
            alone = [source for source in sources if source.stem.endswith("_alone")]
            wrong += [
                line
                for found in pool.map(lambda source: doubles(source, arguments.clang), alone)
                for line in found
            ]
    kernels = [kernel for found, _, _ in results for kernel in found]
    found = [loop for _, some, _ in results for loop in some]
    print(f"{len(kernels)} kernels compiled, for {', '.join(chips(kernels))}")
    print(summary(kernels))
    print()
    print(loop_table(found))
    versions = {type(compiler).__name__: compiler.version() for compiler in compilers}
    if not wrong and not arguments.update:
        wrong = compare(kernels, compilers, versions)
    if wrong:
        sys.exit("\n".join(wrong))
    if arguments.update:
        update(kernels, found, versions)


def table(head, rows):
    """A table of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def chips(kernels):
    return [
        chip
        for chip in NVIDIA + AMD + INTEL_WITHOUT_F64 + INTEL_WITH_F64
        if any(k.chip == chip for k in kernels)
    ]


def summary(kernels):
    """A row for each chip: the most that a kernel of it takes."""
    rows = []
    for chip in chips(kernels):
        of_chip = [kernel for kernel in kernels if kernel.chip == chip]
        most = max(of_chip, key=lambda kernel: kernel.registers)
        local = max(of_chip, key=lambda kernel: kernel.local_bytes)
        rows.append(
            [
                chip,
                len(of_chip),
                most.registers,
                local.local_bytes,
                max(k.scratch_bytes for k in of_chip),
                min(kernel.resident for kernel in of_chip),
            ]
        )
    return table(
        [
            "chip",
            "kernels",
            "registers, at most",
            "local bytes, at most",
            "scratch bytes",
            RESIDENT,
        ],
        rows,
    )


RESIDENT = "resident, at least"


def loop_table(found):
    """A row for each chip and tile, with the largest and the least share of multiply-adds."""
    rows = []
    for tile in WORK:
        for chip in sorted({loop.chip for loop in found}):
            some = [
                loop
                for loop in found
                if loop.chip == chip and loop.program.startswith(f"{PRODUCT}-{tile}-")
            ]
            if not some:
                continue
            aligned = [loop for loop in some if "-aligned" in loop.program]
            best, worst = (
                max(aligned, key=lambda loop: loop.share),
                min(some, key=lambda loop: loop.share),
            )
            rows.append(
                [
                    tile,
                    chip,
                    best.multiply_adds,
                    best.others,
                    best.wide_loads,
                    best.narrow_loads,
                    f"{best.share:.1%}",
                    f"{worst.share:.1%}",
                ]
            )
    return table(
        [
            "tile",
            "chip",
            "multiply-adds",
            "others",
            "128-bit local loads",
            "narrower",
            "share",
            "least share of a form",
        ],
        rows,
    )


def update(kernels, found, versions):
    """Writes the tables to docs/gpu.md, and every kernel to docs/gpu-kernels.tsv."""
    page = pathlib.Path("docs/gpu.md")
    text = page.read_text()
    for name, content in [("compilers", summary(kernels)), ("product", loop_table(found))]:
        begin, end = (
            f"<!-- {name}: written by tests/gpu-compilers.sh --update -->",
            f"<!-- end of {name} -->",
        )
        before, rest = text.split(begin)
        text = before + begin + "\n" + content + "\n" + end + rest.split(end)[1]
    page.write_text(text)
    by_name = {}
    for kernel in kernels:
        by_name.setdefault((kernel.program, kernel.name), {})[kernel.chip] = kernel
    lines = [f"# {name}: {version}" for name, version in versions.items()]
    lines.append("\t".join(["program", "kernel", *chips(kernels)]))
    for key, on in sorted(by_name.items()):
        cells = [
            " ".join(map(str, kept(on[chip]))) if chip in on else "" for chip in chips(kernels)
        ]
        lines.append("\t".join([*key, *cells]))
    KEPT.write_text("\n".join(lines) + "\n")


KEPT = pathlib.Path("docs/gpu-kernels.tsv")


def kept(kernel):
    """What is kept of a kernel."""
    return kernel.registers, kernel.local_bytes, kernel.resident


def compare(kernels, compilers, versions):
    """What is worse than what docs/gpu-kernels.tsv keeps, or not in it.

    Other versions of a compiler give other numbers, so its chips are left out then.
    """
    lines = KEPT.read_text().splitlines()
    notes = dict(line[2:].split(": ", 1) for line in lines if line.startswith("# "))
    rows = [line.split("\t") for line in lines if not line.startswith("# ")]
    same = [c for c in compilers if notes.get(type(c).__name__) == versions[type(c).__name__]]
    for compiler in compilers:
        if compiler not in same:
            name = type(compiler).__name__
            print(f"{name}: {versions[name]}, the table is of {notes.get(name)}: not compared")
    judged = {chip for compiler in same for chip in compiler.chips}
    before = {
        (row[0], row[1], chip): tuple(map(int, cell.split()))
        for row in rows[1:]
        for chip, cell in zip(rows[0][2:], row[2:])
        if cell and chip in judged
    }
    wrong = []
    for kernel in kernels:
        if kernel.chip not in judged:
            continue
        where, now = f"{kernel.program}, {kernel.name} on {kernel.chip}", kept(kernel)
        then = before.pop((kernel.program, kernel.name, kernel.chip), None)
        if then is None:
            wrong.append(f"{where}: not in {KEPT}")
        elif now[0] > then[0] or now[1] > then[1] or now[2] < then[2]:
            wrong.append(f"{where}: registers, local bytes, resident {now}, they were {then}")
    wrong += [f"{', '.join(key)}: in {KEPT}, but no kernel any more" for key in before]
    return wrong + ["tests/gpu-compilers.sh --update keeps the new numbers"] * bool(wrong)


if __name__ == "__main__":
    main()
