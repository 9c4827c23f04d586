# Farebox in a container: dependencies by their hashes, no build tools in the image, nobody's root.
FROM python:3.13-slim-bookworm AS build
WORKDIR /src
RUN python -m venv /opt/farebox
ENV PATH=/opt/farebox/bin:$PATH
COPY requirements.lock ./
RUN pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.lock
COPY pyproject.toml README.md ./
COPY billing billing
COPY dashboards dashboards
COPY proxy proxy
RUN pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation . \
    && pip uninstall --yes --quiet setuptools pip

FROM python:3.13-slim-bookworm
# Debian already has a user named `proxy`. A number, so that Kubernetes can see that it is not root.
RUN groupadd --system --gid 10001 farebox \
    && useradd --system --uid 10001 --gid farebox --home-dir /var/lib/farebox --shell /usr/sbin/nologin farebox \
    && install --directory --owner=farebox --group=farebox --mode=0700 /var/lib/farebox
COPY --from=build /opt/farebox /opt/farebox
COPY --chmod=0755 docker/farebox /opt/farebox/bin/farebox
COPY docker/apps.py /opt/farebox/apps.py
ENV PATH=/opt/farebox/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    FAREBOX_LISTEN=0.0.0.0:8080 \
    FAREBOX_CONSOLE=0.0.0.0:8081 \
    FAREBOX_DATABASE=sqlite:////var/lib/farebox/farebox.db \
    FAREBOX_JOURNAL=/var/lib/farebox/journal
USER 10001:10001
WORKDIR /var/lib/farebox
VOLUME /var/lib/farebox
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8081/readyz', timeout=2)"]
ENTRYPOINT ["farebox"]
CMD ["serve"]
