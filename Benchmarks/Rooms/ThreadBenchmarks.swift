import Benchmark
import Compute
import Foundation
import Synchronization

/// What it costs to share a job out, against what two cores need at least to answer one another.
enum ThreadBenchmarks {
    static func run() -> [Verdict] {
        guard ThreadCount.available > 1 else {
            print("threads: left out, the process may use one processor only")
            return []
        }
        let roundTrip = roundTrip()
        let job = job()
        print("two threads answer each other in \(nanoseconds(roundTrip)) ns and share a job in \(nanoseconds(job)) ns")
        return [
            Verdict(
                name: "a job that two spinning threads share", ratio: job / roundTrip, meaning: "round trips",
                threshold: .atMost(15)),
            Verdict(
                name: "work of all threads beside another program that keeps one processor busy", ratio: fairShare(),
                meaning: "of the speed without it", threshold: .atLeast(0.45)),
        ]
    }

    /// How much of its speed work that meets a thousand times keeps beside a program that takes turns with it.
    private static func fairShare() -> Double {
        let kernels = Kernels.best
        let pool = ThreadPool(threadCount: ThreadCount.available)
        // Jobs of a few hundred microseconds, as a step's are.
        func work() {
            for _ in 0..<400 {
                pool.forEach(8 * pool.threadCount) { _ in _ = kernels.spendMultiplyAdds(rounds: 20_000) }
            }
        }
        let alone = shortest(of: 3, work)
        let other = Process()
        other.executableURL = URL(fileURLWithPath: "/usr/bin/taskset")
        other.arguments = ["--cpu-list", "0", "sh", "-c", "while :; do :; done"]
        guard (try? other.run()) != nil else { return 0 }
        defer { other.terminate() }
        Thread.sleep(forTimeInterval: 0.3)
        return alone / shortest(of: 3, work)
    }

    private static func nanoseconds(_ seconds: Double) -> Int { Int(seconds * 1e9) }

    /// Seconds from one thread's word to the other's answer, both spinning.
    private static func roundTrip() -> Double {
        let rounds = 20_000
        let turn = Atomic<Int>(0)
        let pool = ThreadPool(threadCount: 2)
        let seconds = shortest(prepare: { turn.store(0, ordering: .relaxed) }) {
            pool.forEach(2) { side in
                for round in 0..<rounds {
                    while turn.load(ordering: .acquiring) != 2 * round + side {}
                    turn.store(2 * round + side + 1, ordering: .releasing)
                }
            }
        }
        return seconds / Double(rounds)
    }

    /// Seconds of a job of two items, neither of which ends before the other has begun.
    private static func job() -> Double {
        let rounds = 20_000
        let begun = Atomic<Int>(0)
        let pool = ThreadPool(threadCount: 2)
        let seconds = shortest(prepare: { begun.store(0, ordering: .relaxed) }) {
            for round in 1...rounds {
                pool.forEach(2) { _ in
                    begun.add(1, ordering: .relaxed)
                    while begun.load(ordering: .relaxed) < 2 * round {}
                }
            }
        }
        return seconds / Double(rounds)
    }
}
