"""The dashboard *Traffic and health*: does it work, is it fast, and does it count everything."""

from dashboards.grafana.panels import (
    COUNT,
    PER_MINUTE,
    PER_SECOND,
    SECONDS,
    SHARE,
    Dashboard,
    Query,
    course,
    figure,
    table,
)

_REQUESTS = "farebox_requests_total"
_ERRORS = (0.01, "orange"), (0.05, "red")


def _quantile(share: float, histogram: str, by: str = "") -> str:
    buckets = f"rate({histogram}_bucket[$__rate_interval])"
    return f"histogram_quantile({share}, sum by ({by}le) ({buckets}))"


def _quantiles(histogram: str) -> tuple[Query, ...]:
    return tuple(Query(f"{_quantile(share, histogram)} >= 0", f"{share:.0%} are within") for share in (0.5, 0.95, 0.99))


def _share(matchers: str, of: str = "") -> str:
    """Requests that match, of those that match `of` or of all; zero where there are none."""
    some, whole = (f"sum(rate({_REQUESTS}{{{m}}}[$__rate_interval]))" for m in (matchers, of))
    return f"({some} or vector(0)) / ({whole} > 0)"


DASHBOARD = Dashboard(
    "farebox-traffic",
    "Farebox: Traffic and health",
    "Does it work, is it fast, and does it count everything?",
    (),
    {
        "Does it work?": (
            figure(
                "Requests per second", "All ended requests, over all replicas.", PER_SECOND,
                f"sum(rate({_REQUESTS}[$__rate_interval]))", calm="blue",
            ),
            figure(
                "Failed", "Answers with a status of 500 or more, the upstream's and Farebox's own, of all.", SHARE,
                _share('status=~"5.."'), steps=_ERRORS, highest=1,
            ),
            figure(
                "Under way", "Requests that have not ended.", COUNT, "sum(farebox_inflight_requests)", calm="blue",
            ),
            figure(
                "Streams open", "Event streams that have not ended.", COUNT, "sum(farebox_open_streams)", calm="blue",
            ),
            figure(
                "Added by Farebox", "The time that Farebox itself adds to 99 of 100 calls.", SECONDS,
                f"{_quantile(0.99, 'farebox_overhead_seconds')} >= 0", steps=((0.01, "orange"), (0.05, "red")),
            ),
            figure(
                "Replicas", "Replicas that answer Prometheus.", COUNT, "count(farebox_build_info)",
                calm="red", steps=((1, "green"),),
            ),
            course(
                "What is called?", "Requests per second by operation.", PER_SECOND,
                Query(f"sum by (operation) (rate({_REQUESTS}[$__rate_interval]))", "{{operation}}"), stacked=True,
            ),
            course(
                "What is answered?", "Requests per second by status. 502 is an upstream out of reach, 429 is OpenAI's "
                "or a budget's refusal, 499 an app that left before its request was whole.", PER_SECOND,
                Query(f"sum by (status) (rate({_REQUESTS}[$__rate_interval]))", "{{status}}"), stacked=True,
            ),
        ),
        "Is it fast?": (
            course(
                "How long do answers take?", "From the request to the end of its answer, OpenAI's time included.",
                SECONDS, *_quantiles("farebox_request_duration_seconds"), width=8,
            ),
            course(
                "How soon does the first byte come?", "From the request to the first byte of its answer.",
                SECONDS, *_quantiles("farebox_time_to_first_byte_seconds"), width=8,
            ),
            course(
                "How much of it is Farebox?", "The time that Farebox itself adds: reading, admitting, recording, "
                "pricing.", SECONDS, *_quantiles("farebox_overhead_seconds"), width=8, steps=((0.01, "red"),),
            ),
        ),
        "Does it count everything?": (
            course(
                "Where do figures come from?", "Requests per second by basis: reported by OpenAI, estimated by "
                "Farebox, unknown, or free.", PER_SECOND,
                Query(f"sum by (basis) (rate({_REQUESTS}[$__rate_interval]))", "{{basis}}"), width=8, stacked=True,
            ),
            course(
                "How much is not reported?", "Estimated or unknown, of all calls that are not free.", SHARE,
                Query(_share('basis=~"estimated|unknown"', 'basis!="free"'), "not reported"), width=8,
                steps=((0.05, "red"),),
            ),
            course(
                "Why is it not reported?", "Charges a minute without reported usage, by reason.", PER_MINUTE,
                Query("60 * sum by (reason) (rate(farebox_estimated_requests_total[$__rate_interval]))", "{{reason}}"),
                width=8, stacked=True, nothing="Everything in this time is reported",
            ),
            course(
                "Which routes are not metered?", "Calls a minute of routes that no table knows: their cost is unknown.",
                PER_MINUTE,
                Query("60 * sum by (path) (rate(farebox_unmetered_requests_total[$__rate_interval]))", "{{path}}"),
                width=8, nothing="Every route in this time is metered",
            ),
            course(
                "How far is the ledger behind?", "Age of the oldest ended call that waits in a journal.", SECONDS,
                Query("max by (instance) (farebox_journal_lag_seconds)", "{{instance}}"), width=8,
                steps=((60, "red"),),
            ),
            course(
                "How many charges wait for the ledger?", "Ended calls in the journals. They are safe there, and posted "
                "when the database answers.", COUNT,
                Query("sum by (instance) (farebox_journal_pending_records)", "{{instance}}"), width=8,
            ),
            table(
                "Which builds and price books are running?", "One row a replica. They should agree.",
                ("instance", "version", "price_book"),
                {"Replicas": (COUNT, "count by (instance, version, price_book) (farebox_build_info)")}, height=6,
            ),
        ),
    },
)  # fmt: skip
