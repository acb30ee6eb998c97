"""What every storage promises of uploads that break off: partials, resuming, space set aside."""

from __future__ import annotations

import os
import stat
import threading
import time

import pytest
from twisted.trial.unittest import SynchronousTestCase

from twisted_ftplite.errors import (
    DirectoryNotEmpty,
    FileNotFound,
    IsADirectory,
    LimitReached,
    NameNotAllowed,
    OffsetNotValid,
    PermissionDenied,
)
from twisted_ftplite.storage.interface import ReadHandle, Upload, UploadHandle

from .test_storage_contract import LocalCase, MemoryCase, NamedCase, StorageCase, WalkedCase

DAY = 24 * 3600.0
SIZES = (900, 100_000, None)
"""One that has no name until it breaks off, one that has a partial's from the start, one of unknown size."""


class PartialsCase(StorageCase):
    def upload(
        self, name: str, content: bytes, size: int | None, owner: str = "me", *, resume: bool = False
    ) -> UploadHandle:
        handle = self.storage.open_write(tuple(name.split("/")), Upload(owner, size, resume))
        self.addCleanup(handle.discard)
        handle.write(content)
        return handle

    def partial(self, name: str = "a", owner: str = "me") -> bytes | None:
        """The bytes of a partial, both ways."""
        path = tuple(name.split("/"))
        size = self.storage.partial_size(path, owner)
        try:
            handle: ReadHandle = self.storage.open_partial(path, owner)
        except FileNotFound:
            assert size is None
            return None
        content = handle.read(0, 1_000_000)
        handle.close()
        assert size == len(content)
        return content

    def shown(self) -> list[str]:
        return [name for name, _ in self.storage.list_attributes((), whole_tree=True)]


class PartialsContract(PartialsCase):
    # One upload.

    def test_published_at_once(self) -> None:
        self.fill({"a": b"old"})
        for size in SIZES:
            handle = self.upload("a", b"one ", size)
            handle.write(b"two")
            assert handle.size == 7
            assert self.shown() == ["a"]
            handle.sync()
            handle.publish()
            handle.keep()
            handle.discard()
            assert (self.stored(), self.partial()) == ({"a": b"one two"}, None)
        assert self.storage.partials == (0, 0)

    def test_discarded(self) -> None:
        self.fill({"a": b"old"})
        for size in SIZES:
            handle = self.upload("a", b"new", size)
            handle.discard()
            handle.keep()
            assert (self.stored(), self.partial()) == ({"a": b"old"}, None)

    def test_broken_off_and_gone_on_with(self) -> None:
        for size in SIZES:
            self.fill({"a": b"old"})
            first = self.upload("a", b"one ", size)
            first.keep()
            first.keep()
            first.discard()
            assert (self.partial(), self.storage.partials) == (b"one ", (1, 4))
            assert (self.shown(), self.storage.open_read(("a",)).content) == (["a"], b"old")
            second = self.upload("a", b"two ", size, resume=True)
            assert (second.size, self.storage.partials) == (8, (0, 0))
            second.keep()
            assert (self.partial(), self.storage.partials) == (b"one two ", (1, 8))
            third = self.upload("a", b"three", size, resume=True)
            assert third.size == 13
            third.publish()
            assert (self.stored(), self.partial()) == ({"a": b"one two three"}, None)

    def test_large_one_is_a_partial_from_the_start(self) -> None:
        self.fill({})
        for size in SIZES[1:]:
            handle = self.upload("a", b"one ", size)
            assert self.partial() == b"one "
            handle.write(b"two")
            assert self.partial() == b"one two"
            handle.discard()
        self.upload("a", b"one ", SIZES[0])

    def test_resumed_and_discarded(self) -> None:
        self.fill({})
        for size in SIZES:
            self.upload("a", b"one ", size).keep()
            self.upload("a", b"two ", size, resume=True).discard()
            assert (self.stored(), self.partial(), self.storage.partials) == ({}, None, (0, 0))

    def test_resumed_without_more(self) -> None:
        self.fill({})
        self.upload("a", b"all", 3).keep()
        handle = self.storage.open_write(("a",), Upload("me", 3, resume=True))
        assert handle.size == 3
        handle.keep()
        self.storage.open_write(("a",), Upload("me", 3, resume=True)).publish()
        assert self.stored() == {"a": b"all"}

    def test_resumed_at_another_place_than_was_asked_for(self) -> None:
        """What a server does that finds another size than the client told: it lets go of it again."""
        self.fill({})
        for size in SIZES:
            self.later = 0.0
            self.upload("a", b"part", size).keep()
            handle = self.storage.open_partial(("a",), "me")
            before = handle.mtime_ns
            handle.close()
            time.sleep(0.01)
            self.later = 5 * DAY
            handle_again = self.upload("a", b"", size, resume=True)
            handle_again.set_attributes(1, 0o400)
            assert handle_again.size == 4
            handle_again.keep()
            assert (self.partial(), self.storage.partials) == (b"part", (1, 4))
            handle = self.storage.open_partial(("a",), "me")
            assert handle.mtime_ns == before
            handle.close()
            self.later = 7.1 * DAY
            assert (self.storage.sweep(), self.partial()) == (1, None)

    def test_taken_over(self) -> None:
        """The later upload of an owner goes on where the older one was told to end."""
        self.fill({})
        for size in SIZES:
            ghost = self.upload("a", b"one ", size)
            ghost.write(b"two ")
            ghost.keep()
            handle = self.upload("a", b"three", size, resume=True)
            ghost.keep()
            ghost.discard()
            with pytest.raises(ValueError, match="published or discarded"):
                ghost.write(b"more")
            handle.publish()
            assert (self.stored(), self.storage.partials) == ({"a": b"one two three"}, (0, 0))

    def test_what_it_holds_is_read(self) -> None:
        self.fill({})
        for size in SIZES:
            handle = self.upload("a", b"one ", size)
            assert (handle.read(0, 100), handle.read(1, 2), handle.read(4, 5)) == (b"one ", b"ne", b"")
            handle.keep()
            handle = self.upload("a", b"", size, resume=True)
            assert handle.read(0, 100) == b"one "
            handle.write(b"two")
            assert handle.read(0, 100) == b"one two"
            handle.write(b" three")
            assert (handle.read(4, 9), handle.read(14, 1)) == (b"two three", b"")
            handle.publish()
            with pytest.raises(ValueError, match="published or discarded"):
                handle.read(0, 1)
            assert self.stored() == {"a": b"one two three"}

    def test_what_it_holds_is_read_while_another_thread_writes(self) -> None:
        self.fill({})
        handle = self.upload("a", b"", None)
        pieces = [b"%04d" % number * 25 for number in range(500)]
        writing = threading.Thread(target=lambda: [handle.write(piece) for piece in pieces])
        writing.start()
        read = b""
        while len(read) < 50_000:
            read += handle.read(len(read), 1000)
        writing.join()
        assert read == b"".join(pieces)

    def test_spliced_bytes_count(self) -> None:
        self.fill({})
        for size in SIZES:
            handle = self.upload("a", b"one ", size)
            descriptor = handle.fileno()
            if descriptor is not None:
                os.write(descriptor, b"two")
                handle.spliced(3)
                assert (handle.size, handle.read(0, 10)) == (7, b"one two")
            handle.spliced(0)
            handle.discard()

    def test_nothing_is_not_kept(self) -> None:
        self.fill({})
        for size in SIZES:
            self.upload("a", b"", size).keep()
            assert (self.stored(), self.partial()) == ({}, None)

    def test_kept_only_with_an_upload(self) -> None:
        self.fill({})
        handle = self.storage.open_write(("a",))
        handle.write(b"x")
        assert handle.size == 1
        handle.keep()
        assert self.stored() == {}
        with pytest.raises(ValueError, match="published or discarded"):
            handle.write(b"more")

    def test_nothing_to_resume(self) -> None:
        self.fill({"a": b"old"}, "d")
        for name in ("a", "d/a"):
            for size in SIZES:
                with pytest.raises(OffsetNotValid):
                    self.upload(name, b"", size, resume=True)
        self.upload("a", b"x", 10).keep()
        self.storage.discard_partial(("a",), "me")
        self.storage.discard_partial(("a",), "me")
        with pytest.raises(OffsetNotValid):
            self.upload("a", b"", 10, resume=True)
        assert self.stored() == {"a": b"old"}

    def test_where_no_file_can_be_put(self) -> None:
        self.fill({}, "d")
        for path, error in (((), IsADirectory), (("d",), IsADirectory), (("x", "a"), FileNotFound)):
            for resume in (False, True):
                with pytest.raises(error):
                    self.storage.open_write(path, Upload("me", 1, resume))
        assert self.storage.partial_size(("x", "a"), "me") is None
        assert self.storage.partial_size((), "me") is None
        self.storage.discard_partial(("x", "a"), "me")
        with pytest.raises(FileNotFound):
            self.storage.open_partial(("x", "a"), "me")
        for name in (".ftplite-part-x", "x" * 256, "a\0b"):
            with pytest.raises(NameNotAllowed):
                self.storage.open_write((name,), Upload("me", 1))

    def test_directory_in_the_way(self) -> None:
        self.fill({})
        handle = self.upload("a", b"x", None)
        self.make_directory("a")
        with pytest.raises(IsADirectory):
            handle.publish()
        handle.keep()
        assert (self.shown(), self.stored()) == (["a"], {})

    def test_read_only(self) -> None:
        self.fill({"a": b"x"}, read_only=True)
        for change in (
            lambda: self.storage.open_write(("a",), Upload("me", 1)),
            lambda: self.storage.discard_partial(("a",), "me"),
        ):
            with pytest.raises(PermissionDenied):
                change()
        assert self.partial() is None

    # Several.

    def test_new_upload_replaces_the_partial(self) -> None:
        self.fill({})
        for size in SIZES:
            for old in SIZES:
                self.upload("a", b"old", old).keep()
                handle = self.upload("a", b"new!", size)
                handle.keep()
                assert (self.partial(), len(self.stored())) == (b"new!", 1)
        self.upload("a", b"newest", 6).publish()
        assert (self.stored(), self.partial()) == ({"a": b"newest"}, None)

    def test_partial_that_is_written_is_neither_resumed_nor_removed(self) -> None:
        self.fill({})
        handle = self.upload("a", b"one ", None)
        with pytest.raises(LimitReached):
            self.upload("a", b"", None, resume=True)
        with pytest.raises(LimitReached):
            self.storage.discard_partial(("a",), "me")
        handle.write(b"two")
        handle.publish()
        assert self.stored() == {"a": b"one two"}

    def test_two_writers_of_one_owner(self) -> None:
        self.fill({})
        for size in SIZES:
            first = self.upload("a", b"first", None)
            second = self.upload("a", b"second", size)
            second.keep()
            assert self.partial() == b"first"
            third = self.upload("a", b"third", size)
            first.write(b" one")
            third.publish()
            assert self.storage.open_read(("a",)).content == b"third"
            first.publish()
            assert (self.stored(), self.partial()) == ({"a": b"first one"}, None)

    def test_two_small_ones_that_both_break_off(self) -> None:
        self.fill({})
        first, second = self.upload("a", b"first", 10), self.upload("a", b"second", 10)
        second.keep()
        first.keep()
        assert (self.partial(), len(self.stored()), self.storage.partials[0]) == (b"first", 1, 1)

    def test_two_owners(self) -> None:
        self.fill({})
        for size in SIZES:
            for owner in ("me", "you", "mé", ""):
                self.upload("a", owner.encode() + b"!", size, owner).keep()
            for owner in ("me", "you", "mé", ""):
                assert self.partial(owner=owner) == owner.encode() + b"!"
            assert self.partial(owner="them") is None
            with pytest.raises(OffsetNotValid):
                self.upload("a", b"", size, "them", resume=True)
            self.storage.discard_partial(("a",), "them")
            self.upload("a", b"mine", size).publish()
            assert (self.partial(), self.partial(owner="you")) == (None, b"you!")

    def test_names_of_full_length_and_of_any_bytes(self) -> None:
        self.fill({})
        names = ["x" * 255, "ü" * 127, "\udcff\udcfe", "new\nline", 'q"']
        for name in names:
            for size in SIZES:
                self.upload(name, b"one ", size, "o" * 1000).keep()
                assert self.partial(name, "o" * 1000) == b"one "
                self.upload(name, b"two", size, "o" * 1000, resume=True).publish()
        assert self.stored() == dict.fromkeys(names, b"one two")

    # Attributes.

    def test_attributes(self) -> None:
        self.fill({})
        for size in SIZES:
            handle = self.upload("a", b"x", size)
            handle.set_attributes(1_234_567_890_123_456_789, 0o4751)
            handle.sync()
            handle.write(b"y")
            handle.publish()
            found = self.storage.stat(("a",))
            assert found == ("file", 2, 1_234_567_890_123_456_789, 0o751, False)
            handle = self.upload("a", b"z", size)
            handle.set_attributes(5, None)
            handle.publish()
            assert self.storage.stat(("a",)) == ("file", 1, 5, 0o751, False)
            self.storage.remove(("a",))
        self.upload("a", b"x", None).publish()
        assert self.storage.stat(("a",)).mode == 0o644

    def test_attributes_before_the_epoch_and_of_a_resumed_one(self) -> None:
        self.fill({})
        handle = self.upload("a", b"x", None)
        handle.set_attributes(1, 0o400)
        handle.sync()
        handle.keep()
        handle = self.upload("a", b"y", None, resume=True)
        handle.set_attributes(-1_000_000_000, None)
        handle.publish()
        assert self.storage.stat(("a",))[:4] == ("file", 2, -1_000_000_000, 0o644)

    def test_the_time_a_file_shall_have_is_not_the_age_of_its_partial(self) -> None:
        self.fill({})
        for size in SIZES:
            handle = self.upload("a", b"x", size)
            handle.set_attributes(1, None)
            handle.sync()
            handle.keep()
            assert (self.storage.sweep(), self.partial()) == (0, b"x")
            handle = self.upload("a", b"y", size, resume=True)
            handle.set_attributes(1, None)
            handle.sync()
            handle.write(b"z")
            handle.publish()
            assert self.storage.stat(("a",))[:3] == ("file", 3, 1)

    # What happens to partials.

    def test_sweep_removes_old_ones(self) -> None:
        self.fill({}, "d")
        self.upload("a", b"x", None).keep()
        self.upload("d/b", b"x", 10).keep()
        held = self.upload("c", b"x", None)
        assert (self.storage.sweep(), self.storage.partials) == (0, (2, 2))
        self.later = 6.9 * DAY
        assert self.storage.sweep() == 0
        self.later = 7.1 * DAY
        assert (self.storage.sweep(), self.storage.partials) == (2, (0, 0))
        held.publish()
        assert self.stored() == {"c": b"x"}

    def test_they_go_with_their_directory(self) -> None:
        self.fill({}, "d")
        self.upload("d/a", b"one ", None).keep()
        self.storage.rename(("d",), ("e",))
        assert (self.partial("d/a"), self.partial("e/a")) == (None, b"one ")
        held = self.upload("e/a", b"two ", None, resume=True)
        with pytest.raises(DirectoryNotEmpty):
            self.storage.remove_directory(("e",))
        held.keep()
        self.make_directory("f")
        self.storage.rename(("f",), ("e",))
        assert (self.partial("e/a"), self.stored(), self.storage.partials) == (None, {}, (0, 0))
        self.upload("e/a", b"x", 10).keep()
        self.storage.remove_directory(("e",))
        assert (self.shown(), self.storage.partials) == ([], (0, 0))

    def test_file_of_that_name_takes_nothing_along(self) -> None:
        self.fill({"a": b"x"})
        self.upload("a", b"part", None).keep()
        self.storage.rename(("a",), ("b",))
        self.storage.remove(("b",))
        assert self.partial() == b"part"

    def test_many_threads(self) -> None:
        self.fill({})
        troubles: list[BaseException] = []

        def work(owner: str) -> None:
            try:
                for number in range(30):
                    size = SIZES[number % 3]
                    handle = self.storage.open_write(("a",), Upload(owner, size))
                    handle.write(b"one ")
                    handle.keep()
                    handle = self.storage.open_write(("a",), Upload(owner, size, resume=True))
                    handle.write(owner.encode())
                    assert handle.size == 5
                    handle.publish() if number % 2 else handle.discard()
                    self.storage.sweep()
            except BaseException as trouble:  # noqa: BLE001
                troubles.append(trouble)

        threads = [threading.Thread(target=work, args=(owner,)) for owner in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert troubles == []
        assert [*self.stored()] == ["a"]
        assert self.storage.partials == (0, 0)


class MemoryPartialsTests(MemoryCase, PartialsContract, SynchronousTestCase):
    pass


class LocalPartialsTests(LocalCase, PartialsContract, SynchronousTestCase):
    def test_mode_of_a_partial(self) -> None:
        self.fill({})
        for size in SIZES:
            handle = self.upload("a", b"x", size)
            handle.set_attributes(None, 0o444)
            handle.sync()
            handle.keep()
            (name,) = os.listdir(self.root)
            assert stat.S_IMODE((self.root / name).stat().st_mode) == 0o600
            self.storage.discard_partial(("a",), "me")


class WalkedLocalPartialsTests(WalkedCase, PartialsContract, SynchronousTestCase):
    pass


class NamedLocalPartialsTests(NamedCase, PartialsContract, SynchronousTestCase):
    pass
