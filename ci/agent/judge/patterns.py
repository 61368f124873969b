"""What lines of logs look like that may be evidence."""

import re

__all__ = [
    "BIND",
    "BOX",
    "BRANCH",
    "CHILD_FAILED",
    "CLOSING",
    "COMMAND",
    "DIGITS",
    "GPU",
    "GPU_PIECES",
    "GROUP",
    "HIT",
    "HIT_PIECES",
    "KERNEL",
    "KERNEL_PIECES",
    "MODEL",
    "NAMED",
    "NETWORK_FILE",
    "NETWORK_LIBRARIES",
    "ONE_LINERS",
    "QUOTE",
    "READY",
    "RETRIED_METHOD",
    "SERVER_PIECES",
    "SERVES",
    "SIGNALLED",
    "SIGNAL_PIECES",
    "SPAWNED",
    "STEP_FAILED",
    "STUCK",
    "TERMINATE",
    "TERMINATE_ALONE",
    "TOOL",
    "TORCH_RANK",
    "USAGE",
    "WHAT",
    "WORDS",
]

# through which a program speaks with another host
NETWORK_LIBRARIES = (
    "huggingface_hub|hf_xet|requests|urllib3?|httpx|httpcore|aiohttp|anyio|botocore|http|ssl|socket"
)
NETWORK_FILE = re.compile(rf"/(?:{NETWORK_LIBRARIES})(?:/|\.py$)")

# A line that may be evidence has one of them; all others are passed over, which is most of a log. Plain pieces of words: to look
# for all of them takes a twentieth of the time of an expression.
WORDS = (
    "rror", "RROR", "xception", "raceback", "Errno", "FAIL", "ail", "atal", "ATAL", "amdgpu", "HSA", "HIP", "hip", "KFD", "kfd", "GPU",
    "ernel", "bort", "illed", "core dumped", "rash", "terminate called", "what()", "imed out", "imeout", "TIMEOUT", "efused", "enied",
    "ould n", "ouldn", "annot", "an't", "nable", "o space", "lost", "xceeded", "toomany", "nexpected", "exit", "Process ", "egfault",
    "SIG", "command=", "OFFLINE", "ROCk", "hutdown", "evice-side", "ECC", "RAS", "esolve", "reset", "nreachable", "navailable", "EOF",
    "ing up", "etr", "nhealthy", "issing", "ot found", "NCCL WARN", "atchdog", "VRAM", "rotected", "amespace package", "anceled",
    "nterrupt", "EACCES", "on resource", "victed", "esponse...", "124", "heartbeat", "No solution", "nsatisfiable", "no tests ran", "collected 0 ", "rtifact", "launch_server", "server_args", "Uvicorn", "serve", "oom", "APIServer", "EngineCore", "hader", "ignal", "nauthorized", "curl: (", "E: ", "fatal: ", "sigquit", "is not running", "amd-smi", "rocm-smi", "ready to roll",
)  # fmt: skip
SERVER_PIECES = (
    "server_args=",
    "Uvicorn running",
    "command=",
    "launch_server",
    "aunching server",
    "ready to roll",
    "APIServer",
    "EngineCore",
    "tarted server",
    " serve",
)
GPU_PIECES = (
    "HSA_",
    "GPU",
    "rocdevice",
    "evice-side",
    "ernel",
    "Assertion `",
    "aborting with",
    "thread: [",
    "hipError",
    "emory Fault",
    "kernel_code_entry",
    "hader",
)
KERNEL_PIECES = (
    "amdgpu",
    "kfd",
    "of memory",
    "oom",
    "EDAC",
    "mce:",
    "achine ",
    "pages RAM",
    "PCIe",
    "AER",
    "drm",
)
SIGNAL_PIECES = ("core dumped", "Killed", "Aborted", "Segmentation", "Segfault", "*** SIG")
GPU = re.compile(
    r"HSA_STATUS|Memory access fault by GPU|HW Exception by GPU|GPU Hang|GPU hang|rocdevice\.cpp|[Dd]evice-side [Aa]ssert"
    r"|\bKernel [Nn]ame\b|\bkernel[ _]name\b|[Ff]aulting kernel|Assertion `.*` failed|Assertion `.*' failed|: Device-side|aborting with error"
    r"|thread: \[\d+,\d+,\d+\]|\[GPUVM\]|GPU core ?dump|hipError\w+|Memory Fault Error|kernel_code_entry=|Shader[ _]?Name|^\W*kernel: (?!amdgpu|\[)"
)
KERNEL = re.compile(
    r"(?:^|\s)(?:\[ *\d+\.\d+\]|\[\w{3} \w{3} +\d+ [\d:]+ \d{4}\]|kernel:) .*"
    r"(?:amdgpu|kfd|[Oo]ut of memory|oom-kill|oom_reaper|EDAC|mce:|[Mm]achine [Cc]heck|pages RAM|PCIe|AER|drm)"
    r"|\b(?:Memory cgroup out of memory|Out of memory): Kill(?:ed)? process \d+"
)
HIT = re.compile(
    r"(?P<who>\w{1,100}) hit an exception:? ?(?P<rest>.*)$|(?P<other>\w{1,60}) (?:failed to start|encountered a fatal error)\.?$"
)
HIT_PIECES = (" hit an exc", " failed to start", " a fatal error")
TERMINATE = re.compile(r"terminate called after throwing an instance of '(?P<raises>[^']+)'")
TERMINATE_ALONE = re.compile(r"terminate called without an active exception")
WHAT = re.compile(r"\s+what\(\): +(?P<message>.*)$")
# a shell's or a runtime's word for a signal
SIGNALLED = re.compile(
    r"(?:^|: line \d+: +\d+ |[^\w/.-])(?P<what>Segmentation fault|Bus error|Illegal instruction|Aborted|Floating point exception)"
    r" *\(core dumped\)|^(?P<killed>Killed|Segmentation fault|Aborted)$|: line \d+: +\d+ (?P<late>Killed|Aborted|Segmentation fault)\b"
    r"|!{3,} (?P<segfault>Segfault) encountered|^\*\*\* (?P<signal>SIG[A-Z]+) received"
)
# torch's word before the traceback of a process that it started
SPAWNED = re.compile(r"-- (?P<who>Process \d+) terminated with the following error:$")
# in front of words that somebody else said: a prompt, an answer, a value
QUOTE = re.compile(r"['\"`]")
# what uv and SGLang's runner draw in front of a line
BOX = re.compile(r"^(?:##\[error\]|[\s\u00d7\u251c\u2570\u2502\u2500\u25b6\u2717\u2716!>+\u2022-])+")
USAGE = re.compile(
    r"(?P<who>[\w./-]+(?: [a-z][\w-]*)?): error: (?P<message>(?:argument|unrecognized arguments|the following arguments|ambiguous option|invalid) ?.*)$"
)
# uvicorn's last words, without an exception
BIND = re.compile(r"\[Errno \d+\] error while attempting to bind on address.*$")
# SGLang's retry of a test's method, whose own exception does not say what it was about
RETRIED_METHOD = re.compile(r"\bretry\(\) failed once .*\bError: (?P<error>[A-Za-z_][\w.]*(?:: .*)?)$")
DIGITS = re.compile(r"\d")
STUCK = re.compile(
    r"(?P<what>Watchdog (?:timeout|caught collective operation timeout)):? ?(?P<rest>[^:]?.*)$"
)
SERVES = re.compile(
    r"server_args=|Uvicorn running on|^command=|launch_server|Launching server|Started server process|ready to roll|sglang(?:\.cli)? serve|vllm serve|^\((?:APIServer|EngineCore)\S* pid=\d+\)"
)
# an argument of a server's command that names a model of the Hub
MODEL = re.compile(r"--(?:[a-z]+-){0,3}model(?:-path)?[= ](?P<model>[\w.-]+/[\w.-]+)")
# a process of a server, by its name and number, in front of each of its lines
NAMED = re.compile(r"\([A-Z]\w* pid=\d+\)")
TORCH_RANK = re.compile(r"\[rank\d+\]:? *$")
# the head of an exception group's traceback, and what stands in front of its lines
GROUP = re.compile(r"^\s*\+ Exception Group $")
BRANCH = re.compile(r"^\s*(?:\+-\+-+ (?:\d+|\.\.\.) -+|\| |\|$|\+-+$)")
# tools that are run to set something up, in front of their messages; or their words for what they cannot do
TOOL = re.compile(
    r"^[a-z][\w.+-]{1,24}: (?=.*\b(?:[Cc]annot|[Cc]an't|[Uu]nable|[Ff]ailed|[Ee]rror|denied|No such)\b)|^(?:\w[\w./-]* )?(?:docker|curl|wget|aria2c|ssh|rsync|tar|cp|mv|mkdir|dd|unzip|gzip|pip|uv|git|apt|apt-get|dpkg"
    r"|rocminfo|rocm-smi|amd-smi|amdsmi|srun|sbatch|slurmstepd|npm|cargo|make|ninja|cmake|ldconfig|mount|kubectl)(?:\[\d+\])?: "
    r"|^(?:error|fatal|ERROR|FATAL|Error|E|Err:\d+|W|failed to|Failed to|Failed|failed|Cannot|Could not|Unable to|panic|OCI|hsa)\b"
    r"|Error response from daemon|toomanyrequests|dial tcp|curl: \(|Caused by:|No solution found|unsatisfiable|[Nn]o space left on device|/dev/kfd|ROCk module"
    r"|exceeded the maximum execution time|VRAM|protected distribution|is a namespace package|canceled|KeyboardInterrupt|EACCES|no tests ran|collected 0|TIMEOUT|ended by timeout|GPUs? of this|has timed out after|[Rr]unner|TLS handshake|unexpected EOF|x509|rpc error"
    r"|Retry\(total=0|[Gg]iving up|ECONNRESET|ETIMEDOUT|EAI_AGAIN|ENOTFOUND|Kill(?:ed)? process|errorCode=|error: |Error: "
    r"|ould not resolve|awaiting response\.\.\. |CMake Error|CMake Generate step failed|low on resource|\bEvicted\b|heartbeat|time(?:out| limit) of \d+|\b(?:code|status):? 124\b"
    r"|AMDSMI_STATUS|RSMI_STATUS|cannot open|not (?:be )?initialized|not loaded|is not available|unreachable|No such device|artifact|[Pp]ermission denied|^timeout: |[Nn]o (?:\S+ ){0,2}GPUs?\b|/dev/dri/|/kfd/topology|hsa_init|AMD driver|\bamdgpu\b.*\b(?:[Ff]atal|fail(?:ed|s)?|lost)\b|is not running|nauthorized: |error storing credentials|hipGetDeviceCount|GPU \w*[Mm]emory|[Mm]emory of (?:the )?GPU|to free memory|did not run successfully|ailed (?:to build|building)|^\[\d{1,2}\] "
    r"|\bGPUs?\b.{0,60}\b(?:not|lost|missing|found|expected|hangs?|hung|fell|unreachable)\b|\bexpected\b.{0,20}\bGPUs?\b|-smi\b.{0,40}\b(?:not|no|hangs?|timed out)\b"
)
# in front of a command, as GitHub's runner and `set -x` print it; and where Python says that a program of one line stands
COMMAND = ("##[group]Run ", "+ ")
ONE_LINERS = ("<string>", "<stdin>")
# the words of a server that answers from now on
READY = ("fired up and ready to roll", "Application startup complete", "Uvicorn running on")
# SGLang's parent process, when one of its children has ended
CHILD_FAILED = "Received sigquit from a child process"
# how GitHub's runner ends a step that failed
STEP_FAILED = "##[error]Process completed with exit code "
# a runner's or a shell's closing word, which says nothing by itself
CLOSING = re.compile(
    r"Process completed with exit code (?!124\b)|exit(?:ed with)? (?:code|status)[: ]*(?!124$)\d+$|^make(?:\[\d+\])?: \*\*\* .*Error \d+$"
)
