import type { AlertSchema, AlertService } from "@aerodb/rpc/aerodb/control/v1/alert_service_pb.js";
import { encodeTime } from "@aerodb/wire";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { type Alert, type AlertFilter, type AlertPage, alertId } from "../app/alerts.ts";

export interface Alerts {
  list(filter: AlertFilter): Promise<AlertPage>;
}

export function alertService(alerts: Alerts): ServiceImpl<typeof AlertService> {
  return {
    async listAlerts({ pageSize, pageToken, includeClosed, rule, subject }) {
      const page = await alerts.list({ pageSize, pageToken, includeClosed, rule, subject });
      return { alerts: page.alerts.map(encodeAlert), nextPageToken: page.nextPageToken };
    },
  };
}

function encodeAlert(alert: Alert): MessageInitShape<typeof AlertSchema> {
  const { rule, severity, subject, detail, openedAt, closedAt } = alert;
  return {
    alertId: alertId(alert),
    ...{ rule, severity, subject, detail },
    openedAt: encodeTime(openedAt),
    ...(closedAt !== null && { closedAt: encodeTime(closedAt) }),
  };
}
