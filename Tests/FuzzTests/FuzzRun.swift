import FuzzTargets
import Glibc
import TestSupport

/// Feeds one parser changed files, in a process of its own that may end by any signal.
struct FuzzRun: Codable, Sendable {
    var parser: FuzzedParser
    var seed: UInt64
    var inputCount: Int
    /// Where the number of the current input is written, to name the one that ended the process.
    var progressPath: String

    /// Of processor time, an input.
    static let longestSeconds = 2.0
    /// Of resident memory beyond what the first inputs took.
    static let greatestGrowth = 64 << 20

    /// Throws for the first input that takes too long, grows memory, or gives what can't be.
    func callAsFunction() throws {
        let progress = open(progressPath, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
        defer { close(progress) }
        let target = try parser.makeTarget()
        var accepted = 0
        var base = 0
        for number in 0..<inputCount {
            withUnsafeBytes(of: number) { _ = pwrite(progress, $0.baseAddress, $0.count, 0) }
            // What doesn't end at all ends by this signal.
            alarm(60)
            let before = processorTime
            if try target.feed(input(number, of: target)) { accepted += 1 }
            guard processorTime - before < Self.longestSeconds else {
                throw FuzzFailure("input \(number) took more than \(Self.longestSeconds) s")
            }
            if number == 1000 { base = Self.peakMemory }
            guard number <= 1000 || number % 256 != 0 || Self.peakMemory - base <= Self.growthLimit else {
                throw FuzzFailure("\(Self.peakMemory - base) bytes more memory by input \(number)")
            }
        }
        alarm(0)
        guard inputCount < 1000 || accepted > inputCount / 1000 else {
            throw FuzzFailure("only \(accepted) of \(inputCount) inputs were read: the inputs test nothing")
        }
    }

    /// The same bytes for the same seed and number.
    func input(_ number: Int, of target: some FuzzTarget) -> [UInt8] {
        var mutator = Mutator(seed: seed &+ UInt64(number) &* 0xD6E8_FEB8_6659_FD93, words: target.words)
        return target.mutate(mutator.pick(target.samples), &mutator)
    }

    private var processorTime: Double {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    private static var peakMemory: Int {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        return usage.ru_maxrss * 1024
    }

    /// AddressSanitizer keeps what is freed for a while.
    private static let growthLimit = dlsym(nil, "__asan_init") == nil ? greatestGrowth : 8 * greatestGrowth
}
