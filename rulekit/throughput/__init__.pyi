from .cases import CASES as CASES
from .gpu import bench_gpu as bench_gpu
from .page import measured as measured
from .page import write_page as write_page
