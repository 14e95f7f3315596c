import CSystemd
import FoundationEssentials
import Glibc
import Model

/// What reports that memory is short: the file that systemd names (`MEMORY_PRESSURE_WATCH`, as its documentation of
/// memory pressure has it), or else the control group's and the kernel's own pressure files.
///
/// `wait` is called by one thread, `wake` by any.
final class MemoryPressureSignal: @unchecked Sendable {
    // Sendable: `sources` is touched only by the thread that waits; descriptors live as long as the object.

    /// Stalls in a window that count as shortage where nobody says another: a quarter of the time. Reading a file of any
    /// size through a full page cache stalls for a tenth of it, which is no reason to give memory away.
    static let trigger = "some 500000 2000000"
    static let stalledPart = 0.25
    /// Critical events of a version 1 group that count as shortage when they come within `criticalWindow`: each attempt
    /// to lower its limit below what is in use makes several, reading files at a full limit a few a second at most.
    static let criticalEvents = 8.0
    static let criticalWindow = Duration.seconds(2)

    enum Kind {
        /// A pressure file with a trigger (`POLLPRI`).
        case trigger
        /// A FIFO or socket: any byte is a report.
        case stream
        /// An eventfd that counts a version 1 group's critical events, and what is left of them after a while.
        case critical(weight: Double, since: ContinuousClock.Instant)
        /// A pressure file that takes no trigger: its sum of stalled microseconds, and when that was read.
        case sum(microseconds: Int, at: ContinuousClock.Instant)
    }

    struct Source {
        let name: String
        /// It tells of all processes together, most of which may have limits of their own.
        var isMachineWide = false
        let descriptor: Int32
        var kind: Kind
    }

    private var sources: [Source]
    private let wakeup: Int32
    /// What is watched, and what can't be, for people.
    let names: [String]
    let problems: [String]

    init(environment: (String) -> String?, root: String = "") {
        var problems: [String] = []
        var sources: [Source] = []
        let watch = environment("MEMORY_PRESSURE_WATCH").flatMap { $0.isEmpty ? nil : $0 }
        if let watch, watch != "/dev/null" {
            do {
                sources.append(try Self.open(watch: watch, write: environment("MEMORY_PRESSURE_WRITE")))
            } catch {
                problems.append("MEMORY_PRESSURE_WATCH=\(watch): \(error); the kernel's own files are watched instead")
            }
        }
        if watch == nil || !problems.isEmpty { sources += Self.kernelSources(root: root) }
        self.sources = sources
        self.problems = problems
        names = sources.map(\.name)
        wakeup = eventfd(0, Int32(EFD_CLOEXEC) | Int32(EFD_NONBLOCK))
    }

    deinit {
        for source in sources { close(source.descriptor) }
        close(wakeup)
    }

    struct Report {
        /// Who reported shortage.
        var reporters: [String] = []
        /// Whether any of them speaks of this process or of the group that it stands in.
        var isOwn = false
        /// Who won't any more.
        var lost: [String] = []
    }

    /// Ends a `wait`, the present or the next.
    func wake() {
        var one: UInt64 = 1
        _ = write(wakeup, &one, 8)
    }

    /// Waits for the first report, at most so long.
    func wait(atMost time: Duration) -> Report {
        var polled = [pollfd(fd: wakeup, events: Int16(POLLIN), revents: 0)]
        for source in sources {
            let (descriptor, events): (Int32, Int32) =
                switch source.kind {
                case .trigger: (source.descriptor, POLLPRI)
                case .stream, .critical: (source.descriptor, POLLIN)
                case .sum: (-1, 0)
                }
            polled.append(pollfd(fd: descriptor, events: Int16(events), revents: 0))
        }
        // Rounded up: a wait that ends a fraction of a millisecond early would be begun again and again until the time is over.
        let milliseconds = (time / .milliseconds(1)).rounded(.up)
        let count = poll(&polled, nfds_t(polled.count), Int32(clamping: Int(milliseconds)))
        var report = Report()
        if count > 0, polled[0].revents != 0 { _ = Self.drain(wakeup) }
        for index in sources.indices.reversed() {
            switch Self.look(at: &sources[index], Int32(polled[index + 1].revents)) {
            case .nothing:
                break
            case .report:
                report.reporters.append(sources[index].name)
                report.isOwn = report.isOwn || !sources[index].isMachineWide
            case .end:
                report.lost.append(sources[index].name)
                close(sources[index].descriptor)
                sources.remove(at: index)
            }
        }
        return report
    }

    private enum Finding {
        case nothing, report, end
    }

    private static func look(at source: inout Source, _ happened: Int32) -> Finding {
        // A group that is removed says both: an error, and that its trigger was pulled.
        guard happened & (POLLERR | POLLNVAL) == 0 else { return .end }
        switch source.kind {
        case .trigger:
            return happened & POLLPRI != 0 ? .report : .nothing
        case .stream:
            guard happened & (POLLIN | POLLHUP) != 0 else { return .nothing }
            return drain(source.descriptor) > 0 ? .report : .end
        case .critical(let weight, let since):
            guard happened & POLLIN != 0 else { return .nothing }
            var events: UInt64 = 0
            guard read(source.descriptor, &events, 8) == 8 else { return .end }
            let now = ContinuousClock.now
            let isRecent = since.duration(to: now) < criticalWindow
            let sum = (isRecent ? weight : 0) + Double(events)
            let isShort = sum >= criticalEvents
            source.kind = .critical(weight: isShort ? 0 : sum, since: isRecent ? since : now)
            return isShort ? .report : .nothing
        case .sum(let before, let then):
            let now = ContinuousClock.now
            let elapsed = then.duration(to: now)
            guard elapsed >= .seconds(1), let sum = stalledMicroseconds(source.descriptor) else { return .nothing }
            source.kind = .sum(microseconds: sum, at: now)
            return Double(sum - before) >= stalledPart * (elapsed / .microseconds(1)) ? .report : .nothing
        }
    }

    /// Takes what is there from a descriptor that doesn't block, and returns how many bytes that were.
    private static func drain(_ descriptor: Int32) -> Int {
        withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 8) { buffer in
            var sum = 0
            // A writer that never stops must not keep the thread here.
            for _ in 0..<64 {
                let count = read(descriptor, buffer.baseAddress, buffer.count)
                sum += max(count, 0)
                guard count == buffer.count else { break }
            }
            return sum
        }
    }
}

// MARK: Opening

extension MemoryPressureSignal {
    private static func open(watch path: String, write payload: String?) throws(ServingError) -> Source {
        var status = stat()
        guard stat(path, &status) == 0 else { throw failure("stat", errno) }
        var bytes: [UInt8] = []
        if let payload, !payload.isEmpty {
            guard let data = Data(base64Encoded: payload) else {
                throw ServingError(.badName, "MEMORY_PRESSURE_WRITE isn't base64: \(payload)")
            }
            bytes = Array(data)
        }
        switch status.st_mode & S_IFMT {
        case S_IFREG:
            let file = Glibc.open(path, (bytes.isEmpty ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK)
            guard file >= 0 else { throw failure("open", errno) }
            try send(bytes, to: file)
            return Source(name: path, descriptor: file, kind: .trigger)
        case S_IFIFO:
            // Open for writing too: there is always a writer then, and no end of the file. What is to be written
            // would come back here.
            let file = Glibc.open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK)
            guard file >= 0 else { throw failure("open", errno) }
            return Source(name: path, descriptor: file, kind: .stream)
        case S_IFSOCK:
            let file = try SocketListener.connect(path: path)
            try send(bytes, to: file)
            return Source(name: path, descriptor: file, kind: .stream)
        default:
            throw ServingError(.badName, "is neither a file nor a FIFO nor a socket")
        }
    }

    private static func send(_ bytes: [UInt8], to descriptor: Int32) throws(ServingError) {
        guard bytes.isEmpty || write(descriptor, bytes, bytes.count) == bytes.count else {
            let code = errno
            close(descriptor)
            throw failure("write", code)
        }
    }

    private static func failure(_ call: String, _ code: Int32) -> ServingError {
        ServingError(.system, "\(call): \(describe(errno: code))")
    }

    /// The control groups' and the machine's. A kernel without pressure files has none; the limits are looked at all the
    /// same.
    private static func kernelSources(root: String) -> [Source] {
        var sources: [Source] = []
        for group in ControlGroup.own(root: root) {
            if group.version == 1 {
                if let source = criticalEvents(of: group.directory) { sources.append(source) }
                continue
            }
            // Beside version 1 hierarchies, version 2 has a mount of its own below the usual one.
            // The root's is the machine's.
            for directory in [group.directory, "\(group.mount)/unified\(group.path)"] where group.path != "/" {
                let path = "\(directory)/memory.pressure"
                guard let file = triggered(path) ?? summed(path) else { continue }
                sources.append(file)
                break
            }
        }
        let machine = "\(root)/proc/pressure/memory"
        if var source = triggered(machine) ?? summed(machine) {
            source.isMachineWide = true
            sources.append(source)
        }
        return sources
    }

    private static func triggered(_ path: String) -> Source? {
        let file = Glibc.open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK)
        guard file >= 0 else { return nil }
        // The kernel wants the zero at the end too.
        let bytes = Array(trigger.utf8CString)
        guard write(file, bytes, bytes.count) == bytes.count else {
            close(file)
            return nil
        }
        return Source(name: path, descriptor: file, kind: .trigger)
    }

    /// Older kernels let only root set a trigger, and for units with `ProtectControlGroups=` their group is read-only.
    private static func summed(_ path: String) -> Source? {
        let file = Glibc.open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        guard let sum = stalledMicroseconds(file) else {
            close(file)
            return nil
        }
        return Source(name: path, descriptor: file, kind: .sum(microseconds: sum, at: .now))
    }

    /// `total` of the line `some avg10=0.00 avg60=0.00 avg300=0.00 total=5401`.
    fileprivate static func stalledMicroseconds(_ file: Int32) -> Int? {
        let text = withUnsafeTemporaryAllocation(byteCount: 512, alignment: 1) { buffer in
            String(decoding: buffer.prefix(max(0, pread(file, buffer.baseAddress, buffer.count, 0))), as: UTF8.self)
        }
        guard let line = text.split(separator: "\n").first(where: { $0.hasPrefix("some ") }),
            let total = line.split(separator: " ").first(where: { $0.hasPrefix("total=") })
        else { return nil }
        return Int(total.dropFirst(6))
    }

    private static func criticalEvents(of directory: String) -> Source? {
        let events = eventfd(0, Int32(EFD_CLOEXEC) | Int32(EFD_NONBLOCK))
        guard events >= 0 else { return nil }
        let level = Glibc.open("\(directory)/memory.pressure_level", O_RDONLY | O_CLOEXEC)
        let control = Glibc.open("\(directory)/cgroup.event_control", O_WRONLY | O_CLOEXEC)
        defer {
            // The kernel keeps what it needs of them.
            for file in [level, control] where file >= 0 { close(file) }
        }
        let request = Array("\(events) \(level) critical".utf8)
        guard level >= 0, control >= 0, write(control, request, request.count) == request.count else {
            close(events)
            return nil
        }
        return Source(
            name: "\(directory)/memory.pressure_level", descriptor: events, kind: .critical(weight: 0, since: .now))
    }
}
