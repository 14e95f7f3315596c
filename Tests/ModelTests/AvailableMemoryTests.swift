import Glibc
import Model
import TestSupport
import Testing

@Suite struct AvailableMemoryTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func write(_ path: String, _ text: String) throws {
        var parent = directory.path
        for component in path.split(separator: "/").dropLast() {
            parent += "/\(component)"
            mkdir(parent, 0o755)
        }
        let file = try #require(fopen("\(directory.path)/\(path)", "w"))
        fputs(text, file)
        fclose(file)
    }

    private func writeMeminfo() throws {
        try write("proc/meminfo", "MemTotal:       8000000 kB\nMemFree:  10 kB\nMemAvailable:    4000000 kB\n")
    }

    @Test func theSystemsFigure() throws {
        try writeMeminfo()
        let available = try #require(AvailableMemory.current(root: directory.path))
        #expect(available.byteCount == 4_000_000 * 1024)
        #expect(available.budget == 4_000_000 * 1024 / 8 * 7)
    }

    @Test func aGroupsLimitCountsWithoutItsCache() throws {
        try writeMeminfo()
        try write("proc/self/cgroup", "0::/system.slice/moed.service\n")
        let group = "sys/fs/cgroup/system.slice/moed.service"
        try write("\(group)/memory.max", "1000000000\n")
        try write("\(group)/memory.current", "300000000\n")
        try write("\(group)/memory.stat", "anon 1\ninactive_file 150000000\nactive_file 50000000\n")
        let available = try #require(AvailableMemory.current(root: directory.path))
        #expect(available.byteCount == 900_000_000)
        #expect(available.source.hasSuffix("moed.service/memory.max"))
    }

    @Test func pagesThatAreMappedAreInUse() throws {
        try write("proc/meminfo", "MemAvailable:    4000000 kB\nMapped:  700000 kB\nShmem:  200000 kB\n")
        #expect(AvailableMemory.current(root: directory.path)?.byteCount == 3_500_000 * 1024)
        try write("proc/self/cgroup", "0::/box\n")
        try write("sys/fs/cgroup/box/memory.max", "1000000000\n")
        try write("sys/fs/cgroup/box/memory.current", "300000000\n")
        try write(
            "sys/fs/cgroup/box/memory.stat", "inactive_file 150000000\nactive_file 50000000\nfile_mapped 60000000\n")
        #expect(AvailableMemory.current(root: directory.path)?.byteCount == 840_000_000)
    }

    @Test func whereAGroupIsSlowedDownItEnds() throws {
        try writeMeminfo()
        try write("proc/self/cgroup", "0::/box\n")
        try write("sys/fs/cgroup/box/memory.max", "max\n")
        try write("sys/fs/cgroup/box/memory.high", "600000000\n")
        try write("sys/fs/cgroup/box/memory.current", "100000000\n")
        let available = try #require(AvailableMemory.current(root: directory.path))
        #expect(available.byteCount == 500_000_000)
        #expect(available.source.hasSuffix("box/memory.high"))
    }

    @Test func theGroupAboveCountsToo() throws {
        try writeMeminfo()
        try write("proc/self/cgroup", "0::/system.slice/moed.service\n")
        try write("sys/fs/cgroup/system.slice/moed.service/memory.max", "max\n")
        try write("sys/fs/cgroup/system.slice/moed.service/memory.current", "5\n")
        try write("sys/fs/cgroup/system.slice/memory.max", "2000000000\n")
        try write("sys/fs/cgroup/system.slice/memory.current", "500000000\n")
        #expect(AvailableMemory.current(root: directory.path)?.byteCount == 1_500_000_000)
    }

    @Test func theFirstVersionOfGroups() throws {
        try writeMeminfo()
        try write("proc/self/cgroup", "5:cpu,cpuacct:/a\n4:memory:/box\n0::/\n")
        try write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
        try write("sys/fs/cgroup/memory/memory.usage_in_bytes", "1\n")
        try write("sys/fs/cgroup/memory/box/memory.limit_in_bytes", "700000000\n")
        try write("sys/fs/cgroup/memory/box/memory.usage_in_bytes", "800000000\n")
        try write("sys/fs/cgroup/memory/box/memory.stat", "total_inactive_file 50000000\ntotal_active_file 0\n")
        let available = try #require(AvailableMemory.current(root: directory.path))
        #expect(available.byteCount == 0)
        #expect(available.budget == 0)
    }

    @Test func aGroupInItsOwnNamespaceStandsAtTheRoot() throws {
        try writeMeminfo()
        try write("proc/self/cgroup", "0::/docker/0123\n")
        try write("sys/fs/cgroup/memory.max", "1000000000\n")
        try write("sys/fs/cgroup/memory.current", "100000000\n")
        #expect(AvailableMemory.current(root: directory.path)?.byteCount == 900_000_000)
    }

    @Test func nothingToReadIsNoFigure() {
        #expect(AvailableMemory.current(root: directory.path) == nil)
    }

    @Test func thisMachineHasSome() throws {
        #expect(try #require(AvailableMemory.current()).byteCount > 0)
    }
}
