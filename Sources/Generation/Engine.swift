package import ExpertPaging
package import Model
package import Tokenizer

/// Answers requests, as many at a time as the model's plan has room for, on a thread of its own that alone steps the
/// model.
///
/// A bounded queue stands in front. Each answer goes into a mailbox that never makes the engine wait, so a slow reader
/// holds up nobody. An answer that nobody wants any more ends within one layer of the model.
package final class Engine: Sendable {
    package struct Options: Sendable {
        /// Requests that may wait while others run.
        package var queueLimit: Int
        /// Ids that end an answer.
        package var endTokens: Set<Int32>

        package init(queueLimit: Int = 16, endTokens: Set<Int32>) {
            self.queueLimit = queueLimit
            self.endTokens = endTokens
        }
    }

    private let loop: EngineLoop
    private let thread: WorkerThread

    /// Reserves the KV cache and starts the thread.
    package init(model: any LanguageModel, tokenizer: Tokenizer, options: Options) throws {
        let loop = EngineLoop(
            model: model, cache: try model.makeCache(), tokenizer: tokenizer, endTokens: options.endTokens,
            queueLimit: options.queueLimit)
        self.loop = loop
        thread = try WorkerThread(name: "moed-engine", stackByteCount: 4 << 20) { loop.run() }
    }

    /// Ends running answers with `.draining` and waits for the thread.
    deinit {
        loop.stop(at: .now)
        thread.join()
    }

    /// Puts a request in line. Its events come from the stream; dropping that gives the answer up.
    ///
    /// Throws `.queueFull`, `.draining`, `.contextLengthExceeded` or `.invalidRequest`.
    package func submit(_ request: GenerationRequest) throws(GenerationError) -> GenerationStream {
        try loop.submit(request)
    }

    /// The experts in memory: their use and their counters may be asked for from anywhere.
    package var experts: ExpertStore { loop.model.experts }

    package var contextLength: Int { loop.model.contextLength }

    package func status() -> EngineStatus {
        let entries = loop.ledger.current
        let queue = loop.queue.lengths
        let model = loop.model
        return EngineStatus(
            activity: entries.activity, isDraining: queue.isClosed, runningCount: queue.running,
            waitingCount: queue.waiting, queueLimit: loop.queue.limit, totals: entries.totals,
            prefillRate: entries.prefillRate,
            decodeRate: entries.decodeRate, contextLength: contextLength, paging: model.experts.counters,
            residentExpertCount: model.experts.residentCount, slotCount: model.experts.slotCount)
    }

    package var heartbeat: Heartbeat {
        Heartbeat(isBusy: !loop.queue.isIdle, sinceLastBeat: loop.ledger.sinceLastBeat)
    }

    /// Takes no more requests, gives those in the queue back with `.draining`, lets running answers go on for
    /// `duration` and then ends them with `.draining`. Returns when the engine's thread has stopped working.
    package func drain(within duration: Duration) async {
        loop.stop(at: .now + duration)
        await loop.stopped.wait()
    }
}
