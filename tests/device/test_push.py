"""Pushing to real far sides: content-addressed, checked there, refused before anything is sent."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from edgekit._files import sha256_file
from edgekit.core.artifact import Artifact, ArtifactFile, ArtifactKind, Manifest, TensorSpec
from edgekit.core.device import DeviceInfo
from edgekit.core.preprocess import Preprocess
from edgekit.device.lock import held
from edgekit.device.packed import Model, PackedBundle, check_device
from edgekit.device.probe import probe
from edgekit.device.push import SlowPush, clean_all, push_all, push_to, unpack_there
from edgekit.device.store import DeviceStore
from edgekit.errors import DeviceError, MismatchError, ParityError, RunnerError, ToolError
from edgekit.parity.ladder import Ladder, RungResult, RungStatus
from edgekit.toolchain.build.bundle import Bundle
from edgekit.toolchain.python import unpack
from edgekit.toolchain.python.parts import Part, store_part, write_archive
from edgekit.transports.ssh import SshTransport
from tests.devices import AdbDevice
from tests.transports.sshd import Sshd


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """Files of no meaning: what is tested here does not run them."""
    directory = tmp_path / "bundle"
    directory.mkdir()
    for name in ("runner", "libengine.so"):
        (directory / name).write_bytes(os.urandom(300_000))
    return Bundle(
        engine="paddlelite",
        engine_version="v2.12",
        fp16=False,
        files={path.name: path for path in sorted(directory.iterdir())},
        program="runner",
    )


class Shared(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle with a directory that it shares with others; files of no meaning, unpacked by this Python."""

    engine: str
    files: dict[str, Path]
    parts: tuple[Part, ...]
    engine_version: str = "1"
    abi: str = "arm64-v8a"
    fp16: bool = True
    features: tuple[str, ...] = ()

    def argv(self, remote_dir: str) -> list[str]:
        return [remote_dir]

    def env(self, remote_dir: str) -> dict[str, str]:
        return {}

    counting_env = env

    def unpacking(self, remote_dir: str) -> tuple[list[str], dict[str, str]]:
        beside = [f"{remote_dir}/../{part.directory}" for part in self.parts]
        return [sys.executable, str(unpack.__file__), *beside], {}


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Shared]:
    """Two bundles that share one directory."""
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "zeros.py").write_bytes(bytes(300_000))

    def fill(new: Path) -> Part:
        (new / "library").write_bytes(os.urandom(1000))
        size = write_archive(new, {"zeros.py": tmp_path / "zeros.py"})
        return Part(name="base", version="1", unpacked_bytes=size)

    base = store_part("base", fill)
    bundles = []
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
        bundles.append(Shared(engine=name, files={"start": tmp_path / name}, parts=(base,)))
    return bundles


def _model(directory: Path, kind: ArtifactKind, version: str = "v2.12", name: str = "Net") -> Model:
    directory.mkdir(exist_ok=True)
    path = directory / kind.file_names[0]
    path.write_bytes(os.urandom(500_000))
    tensor = TensorSpec(name="x", dtype="float32", shape=(1, 3, 224, 224))
    artifact = Artifact(
        kind=kind,
        files=(ArtifactFile(path=path.name, sha256=sha256_file(path), size_bytes=500_000),),
        tool="paddle_lite_opt",
        tool_version=version,
        parent_sha256=None,
        inputs=(tensor,),
        outputs=(tensor,),
    )
    (directory / "labels.txt").write_text("one\ntwo\n")
    manifest = Manifest(
        edgekit_version="0",
        name=name,
        model=None,
        source="test",
        source_sha256=None,
        num_classes=2,
        output_activation="softmax",
        preprocess=Preprocess(),
        labels="labels.txt",
        inputs=(tensor,),
        outputs=(tensor,),
        artifacts={kind.value: artifact},
    )
    return Model(directory=directory, manifest=manifest, artifacts=(artifact,))


@pytest.fixture(params=["adb", "ssh"])
def store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[DeviceStore]:
    if request.param == "adb":
        device: AdbDevice = request.getfixturevalue("virtual_device")
        opened = DeviceStore(device.open())
    else:
        server: Sshd = request.getfixturevalue("sshd")
        opened = DeviceStore(SshTransport(server.url), str(tmp_path / "store"))
    opened.clean()
    yield opened
    opened.clean()
    opened.transport.close()


@pytest.fixture
def on_adb(virtual_device: AdbDevice) -> Iterator[DeviceStore]:
    opened = DeviceStore(virtual_device.open())
    opened.clean()
    yield opened
    opened.clean()


def _as_arm(store: DeviceStore) -> DeviceInfo:
    """The probe's answer with the ABI that the bundle is for: this machine's sshd is not one's board."""
    return msgspec.structs.replace(probe(store.transport, root=store.root), abis=("arm64-v8a",))


def test_a_second_push_sends_nothing(store: DeviceStore, bundle: Bundle, tmp_path: Path) -> None:
    models = [_model(tmp_path / f"m{i}", ArtifactKind.NB_ARM, name=f"m{i}") for i in range(3)]
    packed = PackedBundle(bundle)
    info = _as_arm(store)
    first = push_to(store, packed, models, info=info)
    # Two files of the bundle and its note, three models, and one label list that all three share.
    assert (first.sent_files, first.present_files) == (7, 0)
    assert first.models == ("m0", "m1", "m2")
    second = push_to(store, packed, models, info=info)
    assert (second.sent_files, second.sent_bytes, second.present_files) == (0, 0, 7)
    remote = store.path(models[0].items(models[0].artifacts[0])[0])
    assert list(store.transport.sha256([remote]).values()) == [models[0].artifacts[0].sha256]
    runner = store.transport.run(["ls", "-l", f"{store.root}/{packed.directory}/runner"])
    assert runner.stdout.startswith("-rwxr-xr-x")


def test_only_what_changed_is_sent(store: DeviceStore, bundle: Bundle, tmp_path: Path) -> None:
    packed, info = PackedBundle(bundle), _as_arm(store)
    push_to(store, packed, [_model(tmp_path / "a", ArtifactKind.NB_ARM)], info=info)
    again = push_to(store, packed, [_model(tmp_path / "b", ArtifactKind.NB_ARM)], info=info)
    assert again.sent_files == 1


def test_a_damaged_file_is_sent_again(store: DeviceStore, bundle: Bundle, tmp_path: Path) -> None:
    model = _model(tmp_path / "m", ArtifactKind.NB_ARM)
    packed, info = PackedBundle(bundle), _as_arm(store)
    push_to(store, packed, [model], info=info)
    remote = store.path(model.items(model.artifacts[0])[0])
    time.sleep(1.1)
    script = 'printf XXXX | dd of="$1" conv=notrunc bs=1 seek=1000'
    assert store.transport.run(["sh", "-c", script, "sh", remote]).exit_code == 0
    assert store.transport.sha256([remote])[remote] != model.artifacts[0].sha256
    assert push_to(store, packed, [model], info=info).sent_files == 1
    assert store.transport.sha256([remote])[remote] == model.artifacts[0].sha256


def test_a_touched_file_is_looked_at_and_not_sent(store: DeviceStore, bundle: Bundle, tmp_path: Path) -> None:
    model = _model(tmp_path / "m", ArtifactKind.NB_ARM)
    packed, info = PackedBundle(bundle), _as_arm(store)
    push_to(store, packed, [model], info=info)
    remote = store.path(model.items(model.artifacts[0])[0])
    time.sleep(1.1)
    store.transport.run(["touch", remote])
    assert push_to(store, packed, [model], info=info).sent_files == 0


def test_a_directory_that_bundles_share_is_sent_and_unpacked_once(
    sshd: Sshd, shared: list[Shared], tmp_path: Path
) -> None:
    store = DeviceStore(SshTransport(sshd.url), str(tmp_path / "store"))
    one, two = map(PackedBundle, shared)
    info = _as_arm(store)
    # The shared library and archive, the bundle's own file and its note.
    assert push_to(store, one, [], info=info).sent_files == 4
    [unpacked] = (tmp_path / "store" / "bundles").glob("base-*/lib/zeros.py")
    moment = unpacked.stat().st_mtime_ns
    assert unpacked.stat().st_size == 300_000
    assert push_to(store, two, [], info=info).sent_files == 2
    assert push_to(store, two, [], info=info).sent_files == 0
    assert unpacked.stat().st_mtime_ns == moment
    store.transport.remove([str(unpacked.parent)])
    assert push_to(store, two, [], info=info).sent_files == 0
    assert unpacked.exists()
    store.transport.remove([str(unpacked.parent), str(unpacked.parent.with_name("lib.zip"))])
    with pytest.raises(DeviceError, match=r"unpacking the two runner on .*No such file or directory"):
        unpack_there(store, two)
    store.transport.close()


def test_what_does_not_fit_unpacked_is_refused_with_its_size(shared: list[Shared], tmp_path: Path) -> None:
    packed = PackedBundle(shared[0])
    room = 16_000_000 + sum(item.size_bytes for item in packed.items)
    store = DeviceStore(SshTransport("ssh://nobody@127.0.0.1:9"), str(tmp_path))
    unpacked_bytes = packed.unpacked_bytes(packed.items)
    with pytest.raises(DeviceError, match=r"take 300\.0 kB more unpacked, 16\.3 MB are free"):
        store.send(packed.items, free_bytes=room + 299_999, unpacked_bytes=unpacked_bytes)
    # Where the archive is there already, it is unpacked too.
    assert packed.unpacked_bytes(packed.items[-2:]) == 0


def test_cores_without_what_a_bundle_needs_are_refused(shared: list[Shared]) -> None:
    phone = DeviceInfo(
        serial="phone", state="device", transport="adb", abi="arm64-v8a", abis=("arm64-v8a",),
        features=("fp", "asimd"),
    )  # fmt: skip
    check_device(phone, [], shared[0])
    needy = msgspec.structs.replace(shared[0], features=("asimd", "asimddp"))
    with pytest.raises(DeviceError, match="phone: its cores have no asimddp, which the one runner 1 needs"):
        check_device(phone, [], needy)


def test_a_slow_push_says_how_long_the_rest_takes() -> None:
    slow = SlowPush("board", 10_000_000)
    assert slow.line(1_000_000, 50.0) == "pushing to board: 1.0 MB of 10.0 MB, about 8 min left"
    assert slow.line(9_000_000, 450.0).endswith("about 50 s left")


def test_clean_removes_edgekits_files_only(store: DeviceStore, bundle: Bundle) -> None:
    push_to(store, PackedBundle(bundle), [], info=_as_arm(store))
    note = f"{store.root}/note-of-the-user"
    store.transport.run(["sh", "-c", 'echo mine > "$1"', "sh", note])
    assert store.clean() >= 600_000
    assert store.transport.list_files(store.root) == ["note-of-the-user"]
    store.transport.remove([note])
    # Nothing is left but directories, then not even these.
    assert store.clean() < 600_000
    assert store.transport.run(["ls", store.root]).exit_code != 0
    assert store.clean() == 0


def test_leftovers_of_a_cut_push_go(store: DeviceStore, bundle: Bundle) -> None:
    left = f"{store.root}/models/.edgekit-dead.part"
    store.transport.run(["sh", "-c", 'mkdir -p "$1"; echo half > "$1/x.nb"', "sh", left])
    push_to(store, PackedBundle(bundle), [], info=_as_arm(store))
    assert not [path for path in store.transport.list_files(store.root) if ".part" in path]


def test_a_file_that_is_not_the_manifests_is_refused(
    store: DeviceStore, bundle: Bundle, tmp_path: Path
) -> None:
    model = _model(tmp_path / "m", ArtifactKind.NB_ARM)
    content = bytearray((model.directory / "inference.arm.nb").read_bytes())
    content[1000] ^= 1
    (model.directory / "inference.arm.nb").write_bytes(content)
    with pytest.raises(DeviceError, match="sha256"):
        push_to(store, PackedBundle(bundle), [model], info=_as_arm(store))
    assert store.transport.list_files(f"{store.root}/models") == []


def test_another_abi_is_refused_before_anything_is_sent(sshd: Sshd, bundle: Bundle, tmp_path: Path) -> None:
    if os.uname().machine == "aarch64":
        pytest.skip("this machine is an ARM64 board")
    store = DeviceStore(SshTransport(sshd.url), str(tmp_path / "store"))
    with pytest.raises(DeviceError, match=r"runs x86_64, the paddlelite runner is for arm64-v8a") as raised:
        push_to(store, PackedBundle(bundle), [])
    assert sshd.url in raised.value.message
    assert not (tmp_path / "store").exists()
    store.transport.close()


def test_opt_and_runtime_of_different_versions_are_refused(
    on_adb: DeviceStore, bundle: Bundle, tmp_path: Path
) -> None:
    model = _model(tmp_path / "m", ArtifactKind.NB_ARM, version="v2.13-rc0")
    packed = PackedBundle(bundle)
    with pytest.raises(
        MismatchError, match=r"opt v2.13-rc0 wrote inference.arm.nb, the runtime is v2.12"
    ) as raised:
        push_to(on_adb, packed, [model], allow_mismatch=False)
    assert raised.value.exit_code == 4
    assert "--allow-mismatch" in str(raised.value.hint)
    with pytest.raises(MismatchError) as raised:
        push_to(on_adb, packed, [model])
    assert "--allow-mismatch" not in str(raised.value.hint), "for commands without that option"
    assert on_adb.transport.list_files(on_adb.root) == []
    assert push_to(on_adb, packed, [model], allow_mismatch=True).sent_files == 5


def test_a_rung_of_another_version_ends_verify_as_a_tool_error(tmp_path: Path) -> None:
    manifest = _model(tmp_path / "m", ArtifactKind.NB_ARM).manifest
    reference = RungResult(name="dygraph", engine="paddle", status=RungStatus.REFERENCE)
    skipped = RungResult(
        name="nb-arm@board",
        engine="paddlelite",
        status=RungStatus.SKIPPED,
        reason="opt 2.13rc0 wrote inference.arm.nb, the runtime is 2.12",
        hint="edgekit toolchain install paddlelite-runtime --version 2.13rc0",
    )
    ladder = Ladder(name="Net", directory="m", reference="dygraph", inputs=8, rungs=(reference, skipped))
    ladder.raise_for_failure(manifest)
    mismatched = msgspec.structs.replace(skipped, mismatch=True)
    ladder = msgspec.structs.replace(ladder, rungs=(reference, mismatched))
    with pytest.raises(ToolError, match=r"the runtime is 2\.12") as raised:
        ladder.raise_for_failure(manifest)
    assert raised.value.exit_code == 4
    assert raised.value.hint == skipped.hint


def test_a_runner_that_was_killed_ends_verify_as_a_runner_error(tmp_path: Path) -> None:
    """Nothing was computed, so nothing is known of the artifact; one that was just made is not kept."""
    manifest = _model(tmp_path / "m", ArtifactKind.NB_ARM).manifest
    killed = RungResult(
        name="nb-arm@board",
        engine="paddlelite",
        status=RungStatus.FAILED,
        reason="asked to infer, it was killed",
    )
    ladder = Ladder(name="Net", directory="m", reference="dygraph", inputs=8, rungs=(killed,))
    with pytest.raises(RunnerError, match="it was killed"):
        ladder.raise_for_failure(manifest)
    with pytest.raises(ParityError, match="it was killed"):
        ladder.raise_for_failure(manifest, fresh=True)


def test_fp16_needs_cores_with_fp16(virtual_device: AdbDevice, bundle: Bundle, tmp_path: Path) -> None:
    model = _model(tmp_path / "m", ArtifactKind.NB_ARM_FP16)
    info = probe(virtual_device.open())
    check_device(info, [model], bundle)
    old = msgspec.structs.replace(info, features=("asimd", "fp"))
    with pytest.raises(DeviceError, match="fp16"):
        check_device(old, [model], bundle)


def test_a_32_bit_device_is_refused_by_name(virtual_device: AdbDevice, bundle: Bundle) -> None:
    info = probe(virtual_device.open())
    old = msgspec.structs.replace(
        info, abis=("armeabi-v7a", "armeabi"), manufacturer="Acme", model="Pocket 3"
    )
    with pytest.raises(DeviceError, match="Acme Pocket 3 is a 32-bit device"):
        check_device(old, [], bundle)


def test_more_than_fits_is_refused_before_it_is_sent(
    on_adb: DeviceStore, bundle: Bundle, virtual_device: AdbDevice
) -> None:
    virtual_device.fault("disk_full", "8000000")
    try:
        with pytest.raises(DeviceError, match=r"are to be sent, .* are free") as raised:
            push_to(on_adb, PackedBundle(bundle), [])
    finally:
        virtual_device.fault("--clear")
    assert "push --clean" in str(raised.value.hint)
    assert on_adb.transport.list_files(on_adb.root) == []


def test_a_second_command_says_who_has_the_device(
    virtual_device: AdbDevice, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport, packed = virtual_device.open(), PackedBundle(bundle)
    monkeypatch.setenv("EDGEKIT_DEVICE_WAIT", "0.5")
    with held(transport, DeviceStore(transport).root):
        outcome = push_all([virtual_device.open()], lambda _info: (packed, []))[0]
    assert outcome.error is not None
    assert outcome.error.exit_code == 6
    assert f"process {os.getpid()}" in outcome.error.message
    assert virtual_device.serial in outcome.error.message
    assert push_all([transport], lambda _info: (packed, []))[0].error is None
    assert clean_all([transport])[0].report.freed_bytes


def test_an_interruption_ends_the_pushes_to_other_devices(
    on_adb: DeviceStore, sshd: Sshd, bundle: Bundle, virtual_device: AdbDevice
) -> None:
    begun, sent = threading.Event(), list[int]()

    def choose(info: DeviceInfo) -> tuple[PackedBundle, list[Model]]:
        if info.serial != virtual_device.serial:
            assert begun.wait(60)
            raise KeyboardInterrupt
        return PackedBundle(bundle), []

    def show(serial: str, sent_bytes: int, total_bytes: int) -> None:
        begun.set()
        sent.append(sent_bytes)
        time.sleep(1)

    board = SshTransport(sshd.url)
    with contextlib.closing(board), pytest.raises(KeyboardInterrupt):
        push_all([board, virtual_device.open()], choose, show=show)
    assert sum(sent) < sum(path.stat().st_size for path in bundle.files.values())


def test_one_that_waits_gets_the_device(virtual_device: AdbDevice) -> None:
    first, second = virtual_device.open(), virtual_device.open()
    root = DeviceStore(first).root
    order = []

    def wait() -> None:
        with held(second, root, timeout_s=20):
            order.append("second")

    with held(first, root):
        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(1)
        order.append("first")
    thread.join(20)
    assert order == ["first", "second"]


def test_a_lock_of_another_machine_counts_while_its_shell_lives(
    virtual_device: AdbDevice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport, other = virtual_device.open(), virtual_device.open()
    root = DeviceStore(transport).root
    with held(transport, root):
        monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path))  # no lock file of this machine's is seen there
        monkeypatch.setattr("edgekit.device.lock.OWN_WAIT_S", 0.5)
        with pytest.raises(DeviceError, match="holds that device already"), held(other, root, timeout_s=300):
            pass
        monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
        with pytest.raises(DeviceError, match="still in use by"), held(other, root, timeout_s=0.5):
            pass
    with held(other, root, timeout_s=5):
        assert transport.read_text(f"{root}/lock/owner")


def test_a_lock_is_taken_again_after_its_link_was_cut(virtual_device: AdbDevice) -> None:
    transport = virtual_device.open()
    root = DeviceStore(transport).root
    owner = f"{root}/lock/owner"
    with held(transport, root, timeout_s=10) as hold:
        first = transport.read_text(owner)
        hold.renew()
        assert transport.read_text(owner) == first
        virtual_device.reconnect()
        hold.renew()
        assert transport.read_text(owner) not in (None, first)
    assert transport.read_text(owner) is None


def test_a_lock_whose_shell_is_gone_is_stale(virtual_device: AdbDevice) -> None:
    transport = virtual_device.open()
    root = DeviceStore(transport).root
    script = (
        'mkdir -p "$1/lock"; echo "99999 edgekit-lock-gone someone@elsewhere process 7" > "$1/lock/owner"'
    )
    transport.run(["sh", "-c", script, "sh", root])
    with held(transport, root, timeout_s=5):
        assert f"process {os.getpid()}" in str(transport.read_text(f"{root}/lock/owner"))
