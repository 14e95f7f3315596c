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

    @Test(arguments: [1, 2]) func sharedMemoryIsNotMappedCache(version: Int) throws {
        try writeMeminfo()
        let isFirst = version == 1
        try write("proc/self/cgroup", isFirst ? "4:memory:/box\n" : "0::/box\n")
        let group = isFirst ? "sys/fs/cgroup/memory/box" : "sys/fs/cgroup/box"
        try write("\(group)/\(isFirst ? "memory.limit_in_bytes" : "memory.max")", "440000000\n")
        try write("\(group)/\(isFirst ? "memory.usage_in_bytes" : "memory.current")", "332000000\n")
        // Weights of 217 MB in a memfd, mapped, beside 22 MB of mapped files in a cache of 92 MB.
        let fields =
            isFirst
            ? ["total_inactive_file", "total_mapped_file", "total_shmem"] : ["inactive_file", "file_mapped", "shmem"]
        try write("\(group)/memory.stat", "\(fields[0]) 92000000\n\(fields[1]) 239000000\n\(fields[2]) 217000000\n")
        #expect(AvailableMemory.current(root: directory.path)?.byteCount == 178_000_000)
    }

    @Test func whatANewGroupDoesNotCountIsInUseToo() throws {
        try write("proc/self/cgroup", "0::/system.slice/moed.service\n")
        // systemd made the unit's group anew: it counts 30 MB of the 200 that are kept, and the slice counts all.
        let slice = "sys/fs/cgroup/system.slice"
        try write("\(slice)/moed.service/memory.max", "400000000\n")
        try write("\(slice)/moed.service/memory.current", "50000000\n")
        try write("\(slice)/moed.service/memory.stat", "shmem 30000000\n")
        func available(isReusing: Bool) -> Int? {
            AvailableMemory.current(root: directory.path, kept: 200_000_000, isReusing: isReusing)?.byteCount
        }
        #expect(available(isReusing: false) == 180_000_000)
        #expect(available(isReusing: true) == 380_000_000)
        // A lower limit than what is kept: a plan with it in has no room.
        try write("\(slice)/moed.service/memory.max", "100000000\n")
        #expect(available(isReusing: false) == 0)
        #expect(available(isReusing: true) == 80_000_000)
        try write("\(slice)/moed.service/memory.max", "400000000\n")
        try write("\(slice)/memory.max", "400000000\n")
        try write("\(slice)/memory.current", "250000000\n")
        try write("\(slice)/memory.stat", "shmem 200000000\n")
        #expect(available(isReusing: false) == 150_000_000)
        #expect(available(isReusing: true) == 350_000_000)
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

    @Test func killsForWantOfMemoryAreCounted() throws {
        #expect(AvailableMemory.killCount(root: directory.path) == 0)
        try write("proc/vmstat", "oom_kill_else 3\noom_kill 2\n")
        #expect(AvailableMemory.killCount(root: directory.path) == 2)
    }

    @Test func nothingToReadIsNoFigure() {
        #expect(AvailableMemory.current(root: directory.path) == nil)
    }

    @Test func thisMachineHasSome() throws {
        #expect(try #require(AvailableMemory.current()).byteCount > 0)
    }
}
